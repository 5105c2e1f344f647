//! What to say of a letter that waits at the relay: for what, since when, until when, and when it is judged again.

use formats::wire::PendingAnswer;

use crate::error::Language;
use crate::output::{Output, japan_time, one_line};

/// The relay's words for what it waits for, and ours. Names and addresses stay as they are.
const WORDS: [(&str, &str); 12] = [
    ("CRL of ", "失効リスト "),
    ("OCSP of ", "OCSP応答 "),
    ("certificate of ", "証明書 "),
    ("time stamp of the relay", "中継サーバーのタイムスタンプ"),
    (
        "revocation information current enough for a verdict",
        "判定に使える新しい失効情報",
    ),
    ("no CRL that helps could be had", "使える失効リストがまだありません"),
    ("no response that helps could be had", "使える応答がまだありません"),
    ("not reachable: ", "接続できません: "),
    ("not to be had: ", "取得できません: "),
    ("not allowed: ", "中継サーバーの設定で許可されていません: "),
    ("no time stamp: ", "タイムスタンプを取得できません: "),
    ("asked again in ", "次の問い合わせまで "),
];

/// What to say of a submission the relay holds.
#[must_use]
pub fn pending(answer: &PendingAnswer, output: &Output) -> String {
    output
        .pick(
            "{id} は保留中です: {why}。中継サーバーが確認を続け、{deadline} までに結論が出ます。{times}",
            "{id} is pending: {why}. The relay keeps asking and decides by {deadline}.{times}",
        )
        .replace("{times}", &pending_times(answer, output))
        .replace("{id}", answer.id.as_str())
        .replace("{why}", &one_line(&reasons(&answer.waiting_for, output)))
        .replace("{deadline}", &japan_time(&answer.deadline))
}

/// Since when, and when next; a relay need not tell.
fn pending_times(answer: &PendingAnswer, output: &Output) -> String {
    let since = answer.since.as_ref().map(|time| {
        let text = output.pick("{time} から保留しています。", " It has waited since {time}.");
        text.replace("{time}", &japan_time(time))
    });
    let next = answer.next_try.as_ref().map(|time| {
        let text = output.pick(
            "次の確認は遅くとも {time} です。",
            " It is judged again by {time} at the latest.",
        );
        text.replace("{time}", &japan_time(time))
    });
    since.into_iter().chain(next).collect()
}

fn reasons(waiting_for: &str, output: &Output) -> String {
    let translate = |text: String, (theirs, ours): &(&str, &str)| text.replace(theirs, ours);
    match output.language {
        Language::English => waiting_for.to_owned(),
        Language::Japanese => WORDS.iter().fold(waiting_for.to_owned(), translate),
    }
}
