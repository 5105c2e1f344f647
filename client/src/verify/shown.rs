//! A report as people read it on a terminal: the sentence, then each question with its answer, then what speaks against.

use trust_store::ValidationReport;
use trust_store::report::{Check, CheckResult, Question};

use crate::output::{Line, Output, Tone};

/// One sentence, then the questions in order; of the checks that passed only their number, unless `verbose`.
pub(super) fn lines(report: &ValidationReport, output: Output, verbose: bool) -> Vec<Line> {
    let tone = if report.passed() {
        Tone::Good
    } else {
        worst(&report.checks.iter().collect::<Vec<_>>())
    };
    let mut lines = vec![Line::new(tone, report.sentence(output.language))];
    for question in Question::ALL {
        let asked = report.checks.iter().filter(|check| check.question() == question);
        let asked: Vec<&Check> = asked.collect();
        if asked.is_empty() {
            continue;
        }
        let tone = worst(&asked);
        let label = question.label(output.language);
        let number = asked.iter().filter(|check| check.result == CheckResult::Passed).count();
        let answer = match tone {
            Tone::Bad => output.pick("不合格", "failed").to_owned(),
            Tone::Doubt => output.pick("未確認", "open").to_owned(),
            _ => output
                .pick("合格（{} 件）", "passed ({})")
                .replace("{}", &number.to_string()),
        };
        lines.push(Line::new(tone, format!("  {label}  {answer}")));
        let told = asked
            .into_iter()
            .filter(|check| verbose || check.result != CheckResult::Passed || check.name == "local_policy");
        lines.extend(told.map(|check| one(check, output)));
        if question == Question::Files {
            let wrong = report.files.iter().filter(|file| !file.digest_ok);
            lines.extend(wrong.map(|file| Line::new(Tone::Bad, format!("    ✗ {}", file.path))));
        }
    }
    if !verbose {
        let hint = output.pick("  すべての検査を見るには --verbose", "  --verbose shows every check");
        lines.push(Line::new(Tone::Faint, hint));
    }
    lines
}

fn one(check: &Check, output: Output) -> Line {
    let (tone, mark) = match check.result {
        CheckResult::Passed if check.name == "local_policy" => (Tone::Plain, '*'),
        CheckResult::Passed => (Tone::Plain, '✓'),
        CheckResult::Failed => (Tone::Bad, '✗'),
        CheckResult::Indeterminate => (Tone::Doubt, '?'),
        CheckResult::Warning => (Tone::Doubt, '!'),
    };
    let title = match check.title(output.language) {
        Some(title) => title.to_owned(),
        None => format!(
            "{} {}",
            output.pick("コンテナの形式", "Form of the container:"),
            check.name
        ),
    };
    Line::new(tone, format!("    {mark} {title}: {}", check.detail))
}

fn worst(checks: &[&Check]) -> Tone {
    let any = |result| checks.iter().any(|check| check.result == result);
    if any(CheckResult::Failed) {
        Tone::Bad
    } else if any(CheckResult::Indeterminate) {
        Tone::Doubt
    } else {
        Tone::Good
    }
}
