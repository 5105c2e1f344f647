// Bouncy Castle judges a detached signature over a file: every signer's mathematics and signed attributes; a signature time stamp's
// imprint and mathematics. No certification path. Exit 0 only if all of it holds.
// java -cp bcprov.jar:bcpkix.jar:bcutil.jar Judge.java SIGNATURE CONTENT
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.tsp.TimeStampToken;

public class Judge {
    private static final BouncyCastleProvider PROVIDER = new BouncyCastleProvider();

    public static void main(String[] arguments) throws Exception {
        var content = new CMSProcessableByteArray(Files.readAllBytes(Path.of(arguments[1])));
        var signature = new CMSSignedData(content, Files.readAllBytes(Path.of(arguments[0])));
        var signers = signature.getSignerInfos().getSigners();
        if (signers.size() != 1) fail("signers: " + signers.size());
        for (SignerInformation signer : signers) {
            var certificate = (X509CertificateHolder) signature.getCertificates().getMatches(signer.getSID()).iterator().next();
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider(PROVIDER).build(certificate))) fail("signature");
            var unsigned = signer.getUnsignedAttributes();
            var stamp = unsigned == null ? null : unsigned.get(PKCSObjectIdentifiers.id_aa_signatureTimeStampToken);
            if (stamp == null) continue;
            var token = new TimeStampToken(ContentInfo.getInstance(stamp.getAttrValues().getObjectAt(0)));
            var imprint = MessageDigest.getInstance("SHA-256").digest(signer.getSignature());
            if (!Arrays.equals(imprint, token.getTimeStampInfo().getMessageImprintDigest())) fail("imprint");
            var authority = (X509CertificateHolder) token.getCertificates().getMatches(token.getSID()).iterator().next();
            token.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider(PROVIDER).build(authority));
            System.out.println("stamped " + token.getTimeStampInfo().getGenTime());
        }
        System.out.println("good");
    }

    private static void fail(String what) {
        System.err.println("bad " + what);
        System.exit(1);
    }
}
