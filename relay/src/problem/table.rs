//! The one table of problems: code → status, title and what to do next, in Japanese and English.

use http::StatusCode;

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// Stable word for programs.
    pub(crate) code: &'static str,
    /// HTTP status, RFC 9110 (460: tus checksum mismatch).
    pub(crate) status: u16,
    /// Title, Japanese then English.
    pub(crate) title: [&'static str; 2],
    /// What to do next, Japanese then English.
    pub(crate) action: [&'static str; 2],
}

macro_rules! problems {
    ($($name:ident $code:literal $status:literal [$title_ja:literal, $title_en:literal] [$action_ja:literal, $action_en:literal])*) => {
        /// Everything that can go wrong, by name. `CONTRACTS.md` §8.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title_en] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => {
                        const ROW: Row = Row {
                            code: $code,
                            status: $status,
                            title: [$title_ja, $title_en],
                            action: [$action_ja, $action_en],
                        };
                        &ROW
                    })*
                }
            }
        }
    };
}

problems! {
    ContainerProfile "container_profile" 422
        ["コンテナの形式が受付条件に合いません", "The container does not follow the intake profile"]
        ["`hikyaku send` で作り直して送ってください。", "Repack it with `hikyaku send` and send it again."]
    EnvelopeInvalid "envelope_invalid" 422
        ["封筒（submission.json）が正しくありません", "The envelope (submission.json) is not valid"]
        ["封筒の項目を直して送り直してください。", "Correct the envelope and send again."]
    SenderMismatch "sender_mismatch" 422
        ["送信元の医療機関がこの端末のものではありません", "The sender's facility is not this device's"]
        ["この端末が登録された医療機関のコードを送信元にしてください。", "Name the facility this device is enrolled for as the sender."]
    RecipientUnknown "recipient_unknown" 422
        ["宛先の医療機関が登録されていません", "A recipient is not known to this relay"]
        ["宛先のコードを確かめるか、運用者に登録を依頼してください。", "Check the code, or ask the operator to add the facility."]
    IdConflict "id_conflict" 409
        ["この送信番号は別の内容で使われています", "This submission id is taken by another content"]
        ["新しい番号で封筒を作り、署名し直してください。", "Make an envelope with a new id and sign again."]
    ValidationFailed "validation_failed" 422
        ["署名の検証に合格しませんでした", "The signature did not pass validation"]
        ["添付の検証結果の不合格項目を確かめてください。", "See the failed checks in the report."]
    ForbiddenContent "forbidden_content" 422
        ["実行形式・スクリプト・マクロを含むファイルは受け付けません", "Executable files, scripts and macros are not taken"]
        ["そのファイルを除いて署名し直してください。", "Leave the file out and sign again."]
    TooLarge "too_large" 413
        ["大きすぎます", "Too large"]
        ["上限は `/v1/policy` で確かめられます。分けて送ってください。", "See the limit in `/v1/policy`; send in parts."]
    Quota "quota" 429
        ["この医療機関の割り当てを超えます", "The facility's quota is used up"]
        ["進行中の送信が終わるのを待って、もう一度試してください。", "Wait for uploads under way to end, then try again."]
    NoSpace "no_space" 507
        ["中継所の空き容量が足りません", "The relay has no room for this"]
        ["時間をおいて試し、続くときは運用者に知らせてください。", "Try later; tell the operator if it lasts."]
    OffsetMismatch "offset_mismatch" 409
        ["送信位置が中継所の記録と違います", "The offset is not where the relay stands"]
        ["HEAD で位置を確かめ、そこから続けてください。", "Ask for the offset with HEAD and go on from there."]
    ChecksumMismatch "checksum_mismatch" 460
        ["届いたデータのハッシュ値が合いません", "The bytes that arrived do not have the stated hash"]
        ["同じ位置から送り直してください。", "Send the bytes again."]
    UploadUnknown "upload_unknown" 404
        ["そのアップロードはありません", "There is no such upload"]
        ["はじめから送り直してください。", "Start a new upload."]
    UploadIncomplete "upload_incomplete" 409
        ["アップロードがまだ終わっていません", "The upload is not complete"]
        ["残りを送ってからもう一度試してください。", "Send the rest, then try again."]
    UploadInvalid "upload_invalid" 400
        ["アップロードの要求が正しくありません", "The upload request is not valid"]
        ["tus 1.0 に従って要求を直してください。", "Correct the request after tus 1.0."]
    TusVersion "tus_version" 412
        ["tus の版が違います", "Unsupported version of tus"]
        ["`Tus-Resumable: 1.0.0` を付けてください。", "Send `Tus-Resumable: 1.0.0`."]
    PersonRequired "person_required" 428
        ["閲覧者の指定が必要です", "A named person is required"]
        ["`Hikyaku-Person` ヘッダーに職員の番号を入れてください。", "Name the member in the `Hikyaku-Person` header."]
    PersonUnknown "person_unknown" 403
        ["その職員はこの医療機関に登録されていません", "The person is not a member of this facility"]
        ["運用者に職員の登録を依頼してください。", "Ask the operator to add the member."]
    NotFound "not_found" 404
        ["見つかりません", "Not found"]
        ["番号と宛先を確かめてください。", "Check the id and the address."]
    ArchiveAbsent "archive_absent" 404
        ["アーカイブはまだありません", "There is no archive yet"]
        ["時間をおいてもう一度試してください。", "Try again later."]
    ContainerErased "container_erased" 410
        ["コンテナは保存期間を過ぎて消去されました", "The container was erased after its time was over"]
        ["取得済みの控えを使ってください。検証結果・証拠・アーカイブは残っています。", "Use the copy fetched before; report, evidence and archive are still here."]
    RecordsErased "records_erased" 410
        ["この時期の記録は保存期間を過ぎて消去されました", "The records of that time were erased after their time was over"]
        ["手元の受付証と監査証跡の写しを使ってください。証明は今も検証できます。", "Use the receipts and exports kept before; their proofs still verify."]
    MethodNotAllowed "method_not_allowed" 405
        ["この操作はできません", "Method not allowed"]
        ["`/v1/openapi.json` を参照してください。", "See `/v1/openapi.json`."]
    BadRequest "bad_request" 400
        ["要求が正しくありません", "The request is not valid"]
        ["`/v1/openapi.json` を参照して要求を直してください。", "Correct the request; see `/v1/openapi.json`."]
    DeviceRevoked "device_revoked" 403
        ["この端末は失効しているか、登録されていません", "This device is revoked or not enrolled"]
        ["運用者に連絡し、登録し直してください。", "Ask the operator, and enrol again."]
    CodeInvalid "code_invalid" 403
        ["登録コードが正しくないか、期限切れか、使用済みです", "The enrolment code is wrong, expired or used"]
        ["運用者から新しいコードを受け取ってください。", "Ask the operator for a new code."]
    RequestRejected "csr_rejected" 422
        ["証明書の発行要求を受け付けられません", "The certificate request is not accepted"]
        ["端末の鍵を作り直し、もう一度登録してください。", "Make a new device key and try again."]
    DeviceExists "device_exists" 409
        ["その端末名はすでに使われています", "A device of this name exists already"]
        ["別の端末名で登録してください。", "Choose another device name."]
    TooManyRequests "too_many_requests" 429
        ["要求が多すぎます", "Too many requests"]
        ["しばらく待ってから試してください。", "Wait a while, then try again."]
    TimestampRejected "timestamp_rejected" 422
        ["タイムスタンプの要求を受け付けられません", "The time-stamp request is not accepted"]
        ["SHA-256・384・512 のハッシュ値で要求してください。", "Ask with a SHA-256, 384 or 512 imprint."]
    TimestampUnavailable "timestamp_unavailable" 503
        ["タイムスタンプ局から正しい応答を得られません", "No time-stamp authority gave a good answer"]
        ["時間をおいて試してください。", "Try later."]
    PendingLimit "pending_limit" 429
        ["検証情報待ちの送信が多すぎます", "Too many submissions wait for evidence"]
        ["失効情報の配布が戻るまで待ってください。", "Wait until revocation information can be had again."]
    RangeInvalid "range_invalid" 416
        ["指定された範囲はありません", "The range cannot be satisfied"]
        ["大きさを確かめ、範囲を直してください。", "Check the size and correct the range."]
    StateConflict "state_conflict" 409
        ["いまの状態ではできません", "Not possible in the present state"]
        ["状態を確かめてください。", "Look at the submission's state."]
    VerdictRevised "verdict_revised" 410
        ["受付後に届いた失効情報により検証結果が改められ、配送を止めました", "Its verdict was revised by evidence that came later; it is delivered no more"]
        ["内容に依拠せず、送信元に確かめてください。新しい検証結果は `/v1/submissions/ID/report` にあります。", "Do not rely on it; ask the sender. The new report is at `/v1/submissions/ID/report`."]
    StoreUnavailable "store_unavailable" 503
        ["中継所は記録を書けない状態です", "The relay cannot keep records now"]
        ["時間をおいて試し、続くときは運用者に知らせてください。", "Try later; tell the operator if it lasts."]
    Internal "internal" 500
        ["中継所の内部で誤りが起きました", "Something went wrong inside the relay"]
        ["もう一度試し、続くときは要求番号を運用者に知らせてください。", "Try again; tell the operator the request id if it lasts."]
}

impl Code {
    /// The code as programs read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().code
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
