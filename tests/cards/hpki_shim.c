/* A PKCS #11 module of the shape HPKI card drivers have, in front of SoftHSM's.
 *
 * What the MHLW card guideline lists and nothing more: no C_SignUpdate, no C_SignFinal, no digests; CKM_RSA_PKCS alone; CKU_USER
 * alone; CKA_ALWAYS_AUTHENTICATE true, and each signature needs a login that no other signature has used.
 *
 * HPKI_SHIM_BEHIND   the module behind it
 * HPKI_SHIM_LOG      file that gets a line for each login and signature
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long ulong;
typedef unsigned char byte;
typedef void (*function)(void);

/* Numbers of PKCS #11 2.20. */
enum {
    CKR_OK = 0x0, CKR_CANT_LOCK = 0xA, CKR_FUNCTION_NOT_SUPPORTED = 0x54, CKR_MECHANISM_INVALID = 0x70,
    CKR_USER_NOT_LOGGED_IN = 0x101, CKR_USER_TYPE_INVALID = 0x103, CKR_BUFFER_TOO_SMALL = 0x150, CKR_GENERAL_ERROR = 0x5,
    CKM_RSA_PKCS = 0x1, CKU_USER = 0x1, CKA_ALWAYS_AUTHENTICATE = 0x202
};

/* Places in CK_FUNCTION_LIST, in the order of the standard. */
enum {
    Initialize = 0, Finalize, GetInfo, GetFunctionList, GetSlotList, GetSlotInfo, GetTokenInfo, GetMechanismList,
    GetMechanismInfo, OpenSession = 12, CloseSession, CloseAllSessions, GetSessionInfo, Login = 18, Logout,
    GetAttributeValue = 24, FindObjectsInit = 26, FindObjects, FindObjectsFinal, SignInit = 42, Sign, FUNCTIONS = 68
};

struct list { byte major, minor; function at[FUNCTIONS]; };
struct mechanism { ulong type; void *parameter; ulong length; };
struct attribute { ulong type; void *value; ulong length; };
struct initialize { void *mutexes[4]; ulong flags; void *reserved; };
struct info { byte version[2]; byte manufacturer[32]; ulong flags; byte description[32]; byte library[2]; };
struct token { byte label[32], manufacturer[32], model[16], serial[16]; };

static struct list *behind, mine;
static int login_unused;

#define BEHIND(place, parameters) ((ulong (*) parameters)behind->at[place])

static void record(const char *what, ulong result)
{
    const char *path = getenv("HPKI_SHIM_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s 0x%lx\n", what, result);
    fclose(file);
}

static void padded(byte *field, size_t size, const char *text)
{
    size_t length = strlen(text);
    memset(field, ' ', size);
    memcpy(field, text, length < size ? length : size);
}

static ulong unsupported(void) { return CKR_FUNCTION_NOT_SUPPORTED; }

/* The guideline calls C_Initialize without arguments: no locking is offered. */
static ulong initialize(struct initialize *arguments)
{
    if (arguments && arguments->flags) return CKR_CANT_LOCK;
    return BEHIND(Initialize, (void *))(NULL);
}

static ulong get_info(struct info *info)
{
    ulong result = BEHIND(GetInfo, (struct info *))(info);
    if (result == CKR_OK) padded(info->description, sizeof info->description, "HPKI 3.0");
    return result;
}

static ulong get_token_info(ulong slot, struct token *token)
{
    ulong result = BEHIND(GetTokenInfo, (ulong, struct token *))(slot, token);
    if (result == CKR_OK) {
        padded(token->label, sizeof token->label, "HPKI Application");
        padded(token->model, sizeof token->model, "ISO 7816-15:2016");
    }
    return result;
}

static ulong get_mechanism_list(ulong slot, ulong *list, ulong *count)
{
    (void)slot;
    ulong room = *count;
    *count = 1;
    if (!list) return CKR_OK;
    if (room < 1) return CKR_BUFFER_TOO_SMALL;
    list[0] = CKM_RSA_PKCS;
    return CKR_OK;
}

static ulong get_mechanism_info(ulong slot, ulong type, void *info)
{
    if (type != CKM_RSA_PKCS) return CKR_MECHANISM_INVALID;
    return BEHIND(GetMechanismInfo, (ulong, ulong, void *))(slot, type, info);
}

static ulong login(ulong session, ulong user, byte *pin, ulong length)
{
    ulong result = CKR_USER_TYPE_INVALID;
    if (user == CKU_USER) result = BEHIND(Login, (ulong, ulong, byte *, ulong))(session, user, pin, length);
    if (result == CKR_OK) login_unused = 1;
    record("login", result);
    return result;
}

static ulong get_attribute_value(ulong session, ulong object, struct attribute *wanted, ulong count)
{
    ulong result = BEHIND(GetAttributeValue, (ulong, ulong, struct attribute *, ulong))(session, object, wanted, count);
    for (ulong i = 0; i < count; i++)
        if (wanted[i].type == CKA_ALWAYS_AUTHENTICATE && wanted[i].value && wanted[i].length == 1) *(byte *)wanted[i].value = 1;
    return result;
}

static ulong sign_init(ulong session, struct mechanism *mechanism, ulong key)
{
    if (mechanism->type != CKM_RSA_PKCS) return CKR_MECHANISM_INVALID;
    return BEHIND(SignInit, (ulong, struct mechanism *, ulong))(session, mechanism, key);
}

static ulong sign(ulong session, byte *input, ulong input_length, byte *signature, ulong *length)
{
    ulong result = CKR_USER_NOT_LOGGED_IN;
    if (!signature || login_unused)
        result = BEHIND(Sign, (ulong, byte *, ulong, byte *, ulong *))(session, input, input_length, signature, length);
    if (signature) {
        login_unused = 0;
        record("sign", result);
    }
    return result;
}

ulong C_GetFunctionList(struct list **list)
{
    static const int passed[] = { Finalize, GetSlotList, GetSlotInfo, OpenSession, CloseSession, CloseAllSessions,
                                  GetSessionInfo, Logout, FindObjectsInit, FindObjects, FindObjectsFinal };
    const char *path = getenv("HPKI_SHIM_BEHIND");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    ulong (*entry)(struct list **) = NULL;
    if (library) *(void **)&entry = dlsym(library, "C_GetFunctionList");
    if (!entry || entry(&behind) != CKR_OK) return CKR_GENERAL_ERROR;

    mine.major = 2;
    mine.minor = 20;
    for (int i = 0; i < FUNCTIONS; i++) mine.at[i] = (function)unsupported;
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) mine.at[passed[i]] = behind->at[passed[i]];
    mine.at[Initialize] = (function)initialize;
    mine.at[GetInfo] = (function)get_info;
    mine.at[GetFunctionList] = (function)C_GetFunctionList;
    mine.at[GetTokenInfo] = (function)get_token_info;
    mine.at[GetMechanismList] = (function)get_mechanism_list;
    mine.at[GetMechanismInfo] = (function)get_mechanism_info;
    mine.at[Login] = (function)login;
    mine.at[GetAttributeValue] = (function)get_attribute_value;
    mine.at[SignInit] = (function)sign_init;
    mine.at[Sign] = (function)sign;
    *list = &mine;
    return CKR_OK;
}
