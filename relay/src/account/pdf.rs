//! The account on paper: the figures of a [`Summary`] as a PDF, A4, in Japanese.

mod page;

use formats::trail::Kind;
use page::{Align, Pages};

use super::csv::japan_text;
use super::summary::{Acts, Exchanged, Narrowed, Span, Summary};

/// The figures as a PDF.
pub(super) fn write(summary: &Summary) -> Vec<u8> {
    let mut pages = Pages::new("監査証跡 集計表");
    pages.title("監査証跡 集計表");
    about(&mut pages, summary);
    criteria(&mut pages, summary);
    categories(&mut pages, summary);
    kinds(&mut pages, summary);
    partners(&mut pages, summary);
    persons(&mut pages, summary);
    proof(&mut pages, summary);
    pages.finish()
}

fn about(pages: &mut Pages, summary: &Summary) {
    let about = &summary.about;
    let facility = match &about.facility {
        Some((code, name)) => format!("{name}（{code}）"),
        None => "中継所の全記録".to_owned(),
    };
    let moment = |time: &str, open: &str| match time {
        "" => open.to_owned(),
        time => japan_text(time),
    };
    pages.fact("対象", &facility);
    pages.fact(
        "期間",
        &format!(
            "{} から {} まで",
            moment(&about.from, "最初"),
            moment(&about.to, "作成時点")
        ),
    );
    if about.extract.is_empty() {
        pages.fact("範囲", "期間内の全記録");
    } else {
        for (by, value) in &about.extract {
            let by = match by {
                Narrowed::Patient => "患者番号",
                Narrowed::Person => "操作者",
                Narrowed::Submission => "送信",
                Narrowed::After => "次の位置より後",
            };
            pages.fact("絞り込み", &format!("{by} {value}"));
        }
        pages.fact("範囲", "抜粋であり、全記録ではありません（extract, not complete）");
    }
    pages.fact("記録数", &format!("{} 件{}", summary.records, erased(summary)));
    pages.fact("最初の記録", &mark(&summary.span, true));
    pages.fact("最後の記録", &mark(&summary.span, false));
}

fn erased(summary: &Summary) -> String {
    match summary.erased {
        0 => String::new(),
        count => format!("（ほかに保存期間を過ぎて消去済み {count} 件）"),
    }
}

fn mark(span: &Span, first: bool) -> String {
    let mark = if first { &span.first } else { &span.last };
    match mark {
        Some((position, time)) => format!("位置 {position}、{}", japan_text(time)),
        None => "なし".to_owned(),
    }
}

fn criteria(pages: &mut Pages, summary: &Summary) {
    let criteria = &summary.criteria;
    pages.heading("施設基準（検査・画像情報提供加算、電子的診療情報評価料）の記録");
    pages.fact(
        "提供側",
        &format!(
            "提供した情報の範囲と日時の記録: 送信 {} 件のうち {} 件に範囲と日時の両方がある",
            criteria.provided, criteria.provided_recorded
        ),
    );
    pages.fact(
        "閲覧側",
        &format!(
            "閲覧した情報と閲覧者名の記録: 閲覧・取込 {} 件のうち {} 件に閲覧情報と氏名の両方がある",
            criteria.looks, criteria.looks_recorded
        ),
    );
}

/// Words of the billing categories.
const CATEGORIES: [(&str, &str); 8] = [
    ("letter", "診療情報提供書などの文書"),
    ("lab", "検査結果"),
    ("image", "画像情報"),
    ("image-report", "画像診断の所見"),
    ("prescription", "投薬内容"),
    ("injection", "注射内容"),
    ("summary", "退院時要約"),
    ("other", "その他"),
];

const EXCHANGED: [(&str, Align); 4] = [
    ("", Align::Left),
    ("送信", Align::Right),
    ("受信", Align::Right),
    ("閲覧・取込", Align::Right),
];

fn categories(pages: &mut Pages, summary: &Summary) {
    pages.heading("情報の種類別");
    pages.columns(&EXCHANGED);
    for (code, words) in CATEGORIES {
        let exchanged = summary.categories.get(code).copied().unwrap_or_default();
        pages.row(&exchange(words.to_owned(), exchanged));
    }
}

fn exchange(name: String, exchanged: Exchanged) -> [String; 4] {
    let Exchanged { sent, received, looked } = exchanged;
    [name, sent.to_string(), received.to_string(), looked.to_string()]
}

/// What a kind of record is called in offices.
fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Accepted => "受付（送信の受理）",
        Kind::Pending => "検証待ち",
        Kind::Refused => "拒否",
        Kind::Delivered => "取込（受信側システムへの送出）",
        Kind::Viewed => "閲覧",
        Kind::Acknowledged => "受領確認",
        Kind::VerdictRevised => "検証結果の変更（提供停止）",
        Kind::ArchiveMade => "長期保存用ファイルの作成",
        Kind::ErasureAnnounced => "消去の予告",
        Kind::ContainerErased => "送信ファイルの消去",
        Kind::HoldSet => "保全（消去の停止）",
        Kind::HoldLifted => "保全の解除",
        Kind::KeyDestroyed => "記録の消去（鍵の破棄）",
        Kind::TrailRead => "監査証跡の閲覧・出力",
        Kind::FacilityAdded => "機関の登録",
        Kind::CodeIssued => "登録コードの発行",
        Kind::DeviceEnrolled => "端末の登録",
        Kind::DeviceRenewed => "端末証明書の更新",
        Kind::DeviceRevoked => "端末の失効",
        Kind::MemberAdded => "職員の登録",
        Kind::TrustChanged => "信頼点・ポリシーの変更",
        Kind::Head => "日次の締め",
        Kind::CheckpointStamped => "チェックポイントへのタイムスタンプ",
    }
}

fn kinds(pages: &mut Pages, summary: &Summary) {
    pages.heading("記録の種別");
    pages.columns(&[("", Align::Left), ("件数", Align::Right)]);
    for (kind, count) in &summary.kinds {
        let name = Kind::named(kind).map_or_else(|| kind.clone(), |known| format!("{}  {kind}", words(known)));
        pages.row(&[name, count.to_string()]);
    }
}

fn partners(pages: &mut Pages, summary: &Summary) {
    if summary.partners.is_empty() {
        return;
    }
    pages.heading("相手機関別");
    pages.columns(&EXCHANGED);
    let named = |code: &str| {
        if code.is_empty() {
            "その他の機関".to_owned()
        } else {
            code.to_owned()
        }
    };
    for (code, exchanged) in &summary.partners {
        pages.row(&exchange(named(code), *exchanged));
    }
}

fn persons(pages: &mut Pages, summary: &Summary) {
    if summary.persons.is_empty() {
        return;
    }
    pages.heading("操作者別");
    pages.columns(&[
        ("機関・職員・氏名", Align::Left),
        ("送信", Align::Right),
        ("閲覧", Align::Right),
        ("取込", Align::Right),
    ]);
    for ((facility, id, name), acts) in &summary.persons {
        let who = match (facility.as_str(), id.as_str()) {
            ("", "") => "その他の操作者".to_owned(),
            (facility, "") => format!("{facility} 氏名の記録なし"),
            (facility, id) => format!("{facility} {id} {name}"),
        };
        let Acts { sent, viewed, imported } = acts;
        pages.row(&[who, sent.to_string(), viewed.to_string(), imported.to_string()]);
    }
}

fn proof(pages: &mut Pages, summary: &Summary) {
    let about = &summary.about;
    pages.heading("証跡との対応");
    if let Some((first, last)) = summary.numbers {
        let gaps = match (summary.missing(), about.extract.is_empty()) {
            ((missing, 0), true) => format!("欠番 {missing}"),
            ((missing, erased), true) => format!("欠番 {missing}、消去済み {erased}（保存期間満了）"),
            (_, false) => "抜粋のため欠番は数えません".to_owned(),
        };
        pages.fact("機関内連番", &format!("{first} から {last} まで、{gaps}"));
    }
    pages.fact("この出力の記録", &format!("位置 {}（TrailRead）", about.reading));
    pages.fact("ログ", &about.log);
    pages.fact(
        "チェックポイント",
        &format!("記録 {} 件までのルートハッシュ", about.reading + 1),
    );
    pages.fact("", &about.root);
    pages.note(&format!(
        "この集計は、同じ読み出しの CSV・JSON Lines と同じ記録から数えています。改変・欠落がないことは、JSON Lines の出力を \
         hikyaku trail verify で検証し、上のルートハッシュと照合して確かめられます（--checkpoint \"{}:ルートハッシュ\"）。",
        about.reading + 1
    ));
}
