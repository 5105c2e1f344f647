//! What happened and what to do next, in Japanese. `{}` is the thing it happened to.

use super::Code;

pub(super) fn text(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::NoArchive => (
            "アーカイブが自身の検証情報だけでは合格しません: {}",
            "時間をおいてもう一度試してください。コンテナ自体は取得済みです。",
        ),
        Code::Arguments => (
            "コマンドの指定が正しくありません: {}",
            "`hikyaku help` をご覧ください。",
        ),
        Code::FileUnreadable => ("読み取れません: {}", "ファイルの有無と読み取り権限を確認してください。"),
        Code::FileUnwritable => (
            "書き込めません: {}",
            "フォルダー、書き込み権限、空き容量を確認してください。",
        ),
        Code::FileExists => (
            "既に存在します: {}",
            "--out で別の名前を指定するか、ファイルを削除してください。",
        ),
        Code::FileMalformed => (
            "{}",
            "ファイルが壊れているか、種類が違います。もう一度取得するか、作成者に確認してください。",
        ),
        Code::Configuration => (
            "設定が正しくありません: {}",
            "config.toml を直すか、もう一度登録 (enroll) してください。",
        ),
        Code::NotEnrolled => (
            "この端末は中継サーバーに登録されていません: {}",
            "中継サーバーの運用者から登録コードを受け取り、`hikyaku enroll --relay URL --code CODE` を実行してください。",
        ),
        Code::PolicyMalformed => ("policy.toml が正しくありません: {}", "示された項目を直してください。"),
        Code::TrustDirectory => (
            "信頼ディレクトリを使えません: {}",
            "hpki/ と tsa/ に信頼する証明書 (DER または PEM) を置いてください。",
        ),
        Code::EnvelopeInvalid => (
            "封筒 (submission.json) が正しくありません: {}",
            "示された項目を直して、もう一度署名してください。",
        ),
        Code::InputChanged => (
            "署名の途中で内容が変わりました: {}",
            "ファイルへの書き込みが終わってから、もう一度署名してください。",
        ),
        Code::Container => (
            "コンテナが正しくありません: {}",
            "元のファイルからもう一度作成してください。",
        ),
        Code::KeyUnreadable => (
            "鍵を読み取れません: {}",
            "PKCS #12 ファイル、または PEM の鍵と --cert を指定してください。",
        ),
        Code::KeyPassword => (
            "パスワードが違います: {}",
            "パスワードを確認して、もう一度実行してください。",
        ),
        Code::KeyMismatch => ("鍵と証明書が対応していません: {}", "その鍵の証明書を指定してください。"),
        Code::NoSigningCertificate => (
            "署名に使える証明書が見つかりません: {}",
            "HPKI の署名用カードを挿入してください。`hikyaku card` で中身を確認できます。",
        ),
        Code::SeveralSigningCertificates => (
            "署名に使える証明書が複数あります: {}",
            "--slot または --serial で指定してください。`hikyaku card` で一覧を表示します。",
        ),
        Code::MechanismNotOffered => (
            "カードが対応していない方式です: {}",
            "--pss を付けずに署名してください。HPKI カードは RSA PKCS #1 に対応しています。",
        ),
        Code::ModuleNotFound => (
            "PKCS #11 モジュールが見つかりません: {}",
            "カードのドライバーを導入するか、--module でモジュールを指定してください。",
        ),
        Code::ModuleFailed => (
            "カードのモジュールがエラーを返しました: {}",
            "カードを挿し直してください。リーダーとドライバーは `hikyaku diagnose` で確認できます。",
        ),
        Code::NoToken => ("カードがありません: {}", "カードを挿入して、もう一度実行してください。"),
        Code::TokenRemoved => (
            "カードが抜かれました: {}",
            "カードを挿入し、コマンドをもう一度実行してください。署名は行われていません。",
        ),
        Code::PinIncorrect => (
            "PIN が違います: {}",
            "PIN を確認してから再度実行してください。続けて間違えるとカードはロックされます。",
        ),
        Code::PinLocked => (
            "PIN がロックされています: {}",
            "カードの発行元に連絡してください (ロック解除または再発行)。",
        ),
        Code::PinUnavailable => (
            "PIN を受け取れません: {}",
            "端末 (ターミナル) で実行するか、--pin-fd N で渡してください。",
        ),
        Code::PinFdUnsupported => (
            "この OS では --pin-fd を使えません: {}",
            "ターミナルで実行し、PIN を入力してください。",
        ),
        Code::SignatureFailed => (
            "作成した署名を検証できません: {}",
            "この署名は使わないでください。カードとドライバーを `hikyaku diagnose` で確認してください。",
        ),
        Code::TimestampUnreachable => (
            "時刻認証局に接続できません: {}",
            "アドレスとネットワークを確認し、もう一度署名してください。",
        ),
        Code::TimestampRefused => (
            "時刻認証局が要求を拒否しました: {}",
            "時刻認証局に問い合わせるか、別の認証局を使ってください。",
        ),
        Code::TimestampMismatch => (
            "受け取ったタイムスタンプはこの署名のものではありません: {}",
            "使わないでください。別の時刻認証局を使ってください。",
        ),
        Code::RelayUnreachable => (
            "中継サーバーに接続できません: {}",
            "アドレスとネットワークを確認し、もう一度実行してください。`hikyaku status` に出る送信待ちの文書は `hikyaku send` で送れます。",
        ),
        Code::RelayAnswer => (
            "中継サーバーの応答を解釈できません: {}",
            "中継サーバーの運用者に連絡してください。版が異なる可能性があります。",
        ),
        Code::ReceiptInvalid => (
            "中継サーバーの受付証が、文書の受付を証明していません: {}",
            "文書は送信箱に残してあります。中継サーバーの運用者に知らせてください。",
        ),
        Code::LogKeyChanged => (
            "中継サーバーの記録の署名鍵が以前と異なります: {}",
            "運用者に確かめてください。正しい変更であれば、このプログラムのフォルダーの log.vkey を削除してやり直してください。",
        ),
        Code::OtherRelay => (
            "{} は、運用者が示した中継サーバーではありません",
            "アドレスを確認し、登録コードを (ピリオドの後の部分まで) 運用者にもう一度確認してください。相手には何も伝えていません。",
        ),
        Code::PortalNeeded => (
            "{} は登録済みの端末専用のアドレスです",
            "--relay には中継サーバーのポータルのアドレスを指定してください。運用者が登録コードと一緒に受け取るアドレスです。",
        ),
        Code::NothingSigned => (
            "タイムスタンプを取得する中継サーバーに接続できないため、署名していません: {}",
            "後でもう一度実行するか、--tsa または config.toml の `tsa` で時刻認証局を指定してください。指定すれば、署名した文書は送信箱に入ります。",
        ),
        Code::OutboxBusy => ("他のプログラムが送信中です: {}", "終わるまでお待ちください。"),
        Code::WouldBeRefused => (
            "中継サーバーに拒否される内容です: {}",
            "検証結果が示す点を直してください。送信はしていません。",
        ),
    }
}
