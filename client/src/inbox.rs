//! `hikyaku inbox`: what waits for this facility, oldest first.

use formats::envelope::DocumentKind;
use formats::wire::InboxItem;
use serde_json::json;
use trust_store::role_policy::kind_name;

use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Code, Exit, Failure};
use crate::output::{Output, japan_time, one_line};
use crate::relay_api::RelayApi;
use crate::status::{recipient_state, revised};

/// More letters than any facility leaves lying: a relay that lists more does not end.
const MOST: usize = 100_000;

/// Options of `inbox`.
#[derive(Debug, clap::Args)]
pub struct Options {}

/// Runs it.
///
/// # Errors
/// What the relay says.
pub fn run(context: &Context, _options: &Options) -> Result<Exit, Failure> {
    let home = context.home()?;
    let items = context.block_on(async { list(&connect(&home, context.output.language).await?).await })?;
    context
        .output
        .print(&json!({ "items": items }), &describe(&items, &context.output));
    Ok(Exit::Done)
}

/// Everything in the inbox, oldest first.
///
/// # Errors
/// What the relay says.
pub async fn list(api: &RelayApi) -> Result<Vec<InboxItem>, Failure> {
    let mut items = Vec::new();
    let mut after = 0;
    loop {
        let before = items.len();
        let page = api.inbox(after).await?;
        items.extend(page.items);
        if items.len() > MOST {
            return Err(Failure::new(
                Code::RelayAnswer,
                format!("an inbox of more than {MOST} letters"),
            ));
        }
        match page.next {
            // A page without letters is the last one, whatever it says.
            Some(_) if items.len() == before => return Ok(items),
            Some(next) if next > after => after = next,
            _ => return Ok(items),
        }
    }
}

/// A kind of document in words; in English the contract's.
fn kind(kind: DocumentKind, output: &Output) -> &'static str {
    let japanese = match kind {
        DocumentKind::Referral => "診療情報提供書",
        DocumentKind::DischargeSummary => "退院時サマリー",
        DocumentKind::ImageStudy => "画像",
        DocumentKind::VisitingNurseInstruction => "訪問看護指示書",
        DocumentKind::MedicationReport => "服薬情報提供書",
        DocumentKind::VisitingNurseReport => "訪問看護報告書",
        DocumentKind::Reply => "返書",
        DocumentKind::Other => "その他",
    };
    output.pick(japanese, kind_name(kind))
}

/// What to do before the relay lets a container go, or that it has.
fn farewell(item: &InboxItem, output: &Output) -> String {
    let (time, text) = match (&item.erased, &item.erase_after) {
        (Some(time), _) => (
            time,
            output.pick("{} に中継所から消去されました", "erased at the relay on {}"),
        ),
        (None, Some(time)) if item.archive => (
            time,
            output.pick(
                "{} に中継所から消去されます。`hikyaku fetch --archival` で長期保存用に取得してください",
                "will be erased at the relay on {}; keep it with `hikyaku fetch --archival`",
            ),
        ),
        (None, Some(time)) => (
            time,
            output.pick(
                "{} に中継所から消去されます。`hikyaku fetch` で取得してください",
                "will be erased at the relay on {}; keep it with `hikyaku fetch`",
            ),
        ),
        (None, None) => return String::new(),
    };
    format!("\n    {}", text.replace("{}", &japan_time(time)))
}

fn describe(items: &[InboxItem], output: &Output) -> String {
    if items.is_empty() {
        return output.pick("受信箱は空です。", "The inbox is empty.").to_owned();
    }
    let line = |item: &InboxItem| {
        let documents: Vec<String> = item
            .documents
            .iter()
            .map(|document| format!("{} ({})", kind(document.kind, output), document.files))
            .collect();
        let state = recipient_state(item.state, output);
        let line = format!(
            "{}  {}  {state}  {}  {}",
            item.id,
            japan_time(&item.received),
            one_line(&item.sender.name),
            documents.join(", ")
        ) + &farewell(item, output);
        match &item.revised {
            Some(verdict) => format!("{line}\n    {}", revised(verdict, output)),
            None => line,
        }
    };
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}
