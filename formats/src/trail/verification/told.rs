//! A verification's outcome for programs, as JSON, and for people, in Japanese and English.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Checkpoint, Finding, FindingKind, TrailVerdict};
use crate::wire::FacilityCode;

impl TrailVerdict {
    /// `{"version": 1, "valid": true, …}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let numbers = self.sequence.map(|(first, last)| {
            let age = self.head_age();
            let head = self
                .head
                .as_ref()
                .map(|(number, day)| json!({ "number": number, "day": day, "age_days": age }));
            json!({ "first": first, "last": last, "head": head })
        });
        let reading = self.reading.as_ref().map(|reading| {
            json!({
                "position": reading.position,
                "size": reading.position + 1,
                "root": STANDARD.encode(reading.root),
                "closes": reading.closes,
            })
        });
        let until = self.span.map(|(_, last)| last.to_string());
        let earlier = self
            .earlier
            .iter()
            .map(|earlier| json!({ "name": earlier.name, "size": earlier.checkpoint.size, "agrees": earlier.agrees }));
        let witnesses = self.witnesses.iter().map(|(name, cosigned)| {
            let (size, time) = cosigned.as_ref().map(|(size, cosigned)| (size, cosigned.time)).unzip();
            json!({ "name": name, "size": size, "time": time })
        });
        json!({
            "version": 1,
            "valid": true,
            "conclusive": self.conclusive(),
            "log": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": STANDARD.encode(self.checkpoint.root),
            "facility": self.facility,
            "extract": self.extract,
            "records": self.records,
            "erased": self.erased,
            "newer": self.newer,
            "until": until,
            "facility_seq": numbers,
            "reading": reading,
            "earlier": earlier.collect::<Vec<_>>(),
            "witnesses": witnesses.collect::<Vec<_>>(),
            "finding": null,
        })
    }

    /// What it says, one sentence a line: Japanese, English.
    #[must_use]
    pub fn sentences(&self) -> Vec<[String; 2]> {
        let (log, size, records, erased) = (&self.checkpoint.origin, self.checkpoint.size, self.records, self.erased);
        let mut told = vec![[
            format!("監査証跡は署名されたとおりです。ログ {log}、全 {size} 件のうち {records} 件を確認しました。"),
            format!("the trail is what was signed: log {log}, {records} of its {size} records checked"),
        ]];
        if erased > 0 {
            told.push([
                format!("{erased} 件は保存期間を過ぎて内容が消去されています。証明は有効です。"),
                format!("the content of {erased} is erased; their proofs hold"),
            ]);
        }
        if self.newer > 0 {
            let newer = self.newer;
            told.push([
                format!("{newer} 件はこのプログラムが知らない種類の記録です。新しい版で確かめてください。"),
                format!("{newer} are of kinds this program does not know: use a newer one"),
            ]);
        }
        if self.doubtful {
            told.push([
                "消去されたはずの記録が示されているか、消去を示す記録がありません。".into(),
                "records said to be erased are shown, or nothing shown says that they were".into(),
            ]);
        }
        if self.extract {
            told.push([
                "これは抜粋であり、完全ではありません。".into(),
                "this is an extract, not complete".into(),
            ]);
        } else if let Some(facility) = &self.facility {
            self.completeness(facility, &mut told);
        } else if let Some((_, until)) = self.span {
            told.push([
                format!("最後の記録の時刻は {until} です。"),
                format!("its last record is of {until}"),
            ]);
        }
        if let Some(reading) = &self.reading {
            let (size, root) = (reading.position + 1, Checkpoint::in_groups(&reading.root));
            told.push([
                format!("読み出しの記録までの {size} 件のルートハッシュ: {root}"),
                format!("root over the {size} records up to that of the reading: {root}"),
            ]);
        }
        for earlier in &self.earlier {
            let (name, size) = (&earlier.name, earlier.checkpoint.size);
            told.push(match earlier.agrees {
                Some(_) => [
                    format!("以前のチェックポイント {name} ({size} 件) と一致します。"),
                    format!("agrees with the earlier checkpoint {name} of {size} records"),
                ],
                None => [
                    format!("以前のチェックポイント {name} ({size} 件) とは、この抜粋では比べられません。"),
                    format!(
                        "cannot be compared with the earlier checkpoint {name} of {size} records: export again with it"
                    ),
                ],
            });
        }
        for (name, cosigned) in &self.witnesses {
            told.push(match cosigned {
                Some((size, _)) => [
                    format!("証人 {name} が {size} 件までを連署しています。"),
                    format!("witness {name} has cosigned the first {size} records"),
                ],
                None => [
                    format!("証人 {name} の連署がありません。"),
                    format!("witness {name} has not cosigned it"),
                ],
            });
        }
        told
    }

    /// How far a facility's account is complete.
    fn completeness(&self, facility: &FacilityCode, told: &mut Vec<[String; 2]>) {
        let Some(((first, last), (_, until))) = self.sequence.zip(self.span) else {
            told.push([
                format!("医療機関 {facility} の記録が一つもありません。"),
                format!("there is no record of facility {facility}"),
            ]);
            return;
        };
        let [but_ja, but_en] = match self.erased {
            0 => ["", ""],
            _ => ["消去されたものを除き、", " but those erased"],
        };
        told.push([
            format!("医療機関 {facility} の記録 {first} 番から {last} 番まで、{but_ja}欠番はありません。"),
            format!("records {first} to {last} of facility {facility}: no number is missing{but_en}"),
        ]);
        let age = self.head_age().unwrap_or_default();
        told.push(match &self.head {
            Some((number, day)) => [
                format!("{day} までの記録は完全です (日次記録 {number} 番、{age} 日前)。"),
                format!("complete to the end of {day} (daily head, number {number}, {age} days old)"),
            ],
            None => ["日次記録はまだありません。".into(), "there is no daily head yet".into()],
        });
        told.push(if self.reading.as_ref().is_some_and(|reading| reading.closes) {
            [
                format!("{until} の読み出しの記録で終わっています。"),
                format!("it ends with the record of its own reading, of {until}"),
            ]
        } else {
            [
                format!("読み出しの記録で終わっていないため、{until} より後に欠けがないことは確かめられません。"),
                format!(
                    "it does not end with the record of its own reading: that nothing is missing after {until} cannot be told"
                ),
            ]
        });
        if age > super::HEAD_AGE {
            told.push([
                "それより新しい日次記録がありません。".into(),
                "there is no newer daily head".into(),
            ]);
        }
        if age < 0 {
            told.push([
                "その日次記録の日付は最後の記録より後です。".into(),
                "that daily head is of a day after the last record".into(),
            ]);
        }
    }
}

impl Finding {
    /// `{"version": 1, "valid": false, "finding": {"kind", "position", "until", "checkpoint"}}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "version": 1,
            "valid": false,
            "finding": {
                "kind": self.kind.name(),
                "position": self.position,
                "until": self.until,
                "checkpoint": self.checkpoint,
            },
        })
    }

    /// What it says: Japanese, English.
    #[must_use]
    pub fn sentences(&self) -> [String; 2] {
        let position = self.position;
        let (ja, en) = match self
            .until
            .map(|until| until.saturating_sub(1))
            .filter(|last| *last > position)
        {
            Some(last) => (
                format!("位置 {position} から {last} までのどこか"),
                format!("somewhere from position {position} to {last}"),
            ),
            None => (format!("位置 {position}"), format!("at position {position}")),
        };
        let name = self.checkpoint.as_deref().unwrap_or_default();
        match self.kind {
            FindingKind::Changed => [
                format!("{ja} の記録が書き換えられています。"),
                format!("a record was changed {en}"),
            ],
            FindingKind::Removed => [
                format!("{ja} の記録が抜かれています。"),
                format!("a record was removed {en}"),
            ],
            FindingKind::Inserted => [
                format!("{ja} に、そこにないはずの記録が挿入されています。"),
                format!("a record was inserted {en}"),
            ],
            FindingKind::Reordered => [
                format!("{ja} の記録の順序が入れ替えられています。"),
                format!("records were reordered {en}"),
            ],
            FindingKind::Truncated if !name.is_empty() => [
                format!("以前のチェックポイント {name} より短く、{ja} 以降が切り捨てられています。"),
                format!("shorter than the earlier checkpoint {name}: the end was cut off {en}"),
            ],
            FindingKind::Truncated => [
                format!("{ja} 以降が切り捨てられています。"),
                format!("the end was cut off {en}"),
            ],
            FindingKind::Forked => [
                format!("ログが以前のチェックポイント {name} と矛盾します。{ja} の履歴が書き換えられています。"),
                format!("the log contradicts the earlier checkpoint {name}: history was rewritten {en}"),
            ],
            FindingKind::Concealed => [
                format!("{ja} の記録が消去済みとされていますが、鍵の破棄の記録と合いません。"),
                format!("records are said to be erased {en}, and no destroyed key accounts for them"),
            ],
            FindingKind::NoRecord => [
                format!("{ja} にあるものは記録ではありません。"),
                format!("what was committed {en} is no record"),
            ],
            FindingKind::Misnumbered => [
                format!("{ja} の記録の連番が、関係する医療機関と合いません。"),
                format!("numbers {en} do not fit the facilities concerned"),
            ],
            FindingKind::Backdated => [
                format!("{ja} の記録の時刻が、その前の記録より古くなっています。"),
                format!("the record {en} is dated before the one before it"),
            ],
            FindingKind::NotSigned => [
                "チェックポイントは、このログの鍵で署名されていません。".into(),
                "the checkpoint is not signed by this log's key".into(),
            ],
            FindingKind::WronglyWitnessed => [
                "証人の連署が正しくありません。".into(),
                "a witness's cosignature is wrong".into(),
            ],
        }
    }
}
