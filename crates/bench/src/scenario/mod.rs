//! What a scenario is: cells, figures, goals. One file a scenario; the registry is [`ALL`]. Must
//! not know how figures are shown.

use std::borrow::Cow;

use crate::bench::Bench;
use crate::figures::{Cells, Found};

mod bare_reads;
mod bulk;
mod cgroup;
mod limits;
mod paced;
mod page_cache;
mod s01_large_batches;
mod s02_large_batches_durable;
mod s03_small_records;
mod s04_single_records;
mod s05_latency;
mod s06_latency_durable;
mod s07_reading;
mod s08_tail;
mod s09_drain;
mod s10_compressed;
mod s11_idle;
mod s12_start_and_stop;
mod s13_memory;
mod steady;

/// Every scenario, by number.
pub(crate) const ALL: &[Scenario] = &[
    s01_large_batches::SCENARIO,
    s02_large_batches_durable::SCENARIO,
    s03_small_records::SCENARIO,
    s04_single_records::SCENARIO,
    s05_latency::SCENARIO,
    s06_latency_durable::SCENARIO,
    s07_reading::SCENARIO,
    s08_tail::SCENARIO,
    s09_drain::SCENARIO,
    s10_compressed::SCENARIO,
    s11_idle::SCENARIO,
    s12_start_and_stop::SCENARIO,
    s13_memory::SCENARIO,
];

/// Something that is measured for several brokers.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    /// A line that says what is done.
    pub(crate) about: &'static str,
    /// They are measured in turn, as often as there are runs.
    pub(crate) cells: &'static [Cell],
    pub(crate) goals: &'static [Goal],
    /// Measures one cell once, from an empty directory.
    pub(crate) run: fn(&Bench, &Cell) -> anyhow::Result<Found>,
}

/// What stands on the broker's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The build under test.
    Ottla,
    /// The build that it is compared with.
    OttlaBefore,
    /// Apache Kafka 4.4.0.
    Kafka,
    /// No broker: the same bytes between socket and file.
    Limit,
}

/// One column of a scenario's table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) name: Cow<'static, str>,
    pub(crate) subject: Subject,
    /// What its user would have to set.
    pub(crate) settings: &'static [&'static str],
    /// What an acknowledgement of acks=all stands for: `durable` or `os`.
    pub(crate) flush: &'static str,
}

impl Cell {
    const fn new(
        name: &'static str,
        subject: Subject,
        settings: &'static [&'static str],
        flush: &'static str,
    ) -> Self {
        Self { name: Cow::Borrowed(name), subject, settings, flush }
    }

    /// Ottla as it ships.
    pub(crate) const OTTLA_DURABLE: Self =
        Self::new("ottla, durable", Subject::Ottla, &[], "durable");
    /// Ottla with Kafka's promise.
    pub(crate) const OTTLA_OS: Self =
        Self::new("ottla, os", Subject::Ottla, &["flush.mode=os"], "os");
    /// Kafka as it ships.
    pub(crate) const KAFKA: Self = Self::new("kafka", Subject::Kafka, &[], "os");
    /// The same bytes with no protocol.
    pub(crate) const LIMIT: Self = Self::new("limit", Subject::Limit, &[], "none");
    /// Kafka with Ottla's promise.
    pub(crate) const KAFKA_DURABLE: Self =
        Self::new("kafka, durable", Subject::Kafka, &["log.flush.interval.messages=1"], "durable");
}

/// What a figure of a cell must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) cell: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) bound: Bound,
}

/// Medians are what is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// At least so many times the figure of that cell.
    TimesAtLeast(f64, &'static str),
    /// At most so many times the figure of that cell.
    TimesAtMost(f64, &'static str),
    AtLeast(f64),
    AtMost(f64),
}

/// How a goal fared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    /// The ratio, or the figure itself.
    pub(crate) value: f64,
    pub(crate) met: bool,
}

impl Goal {
    /// `None` when a figure that it needs was not measured.
    pub(crate) fn judge(&self, measured: &[(Cell, Cells)]) -> Option<Judged> {
        let median = |cell: &str| {
            let (_, figures) = measured.iter().find(|(known, _)| known.name == cell)?;
            figures.get(self.figure).map(crate::figures::Figures::median)
        };
        let own = median(self.cell)?;
        Some(match self.bound {
            Bound::TimesAtLeast(bound, against) => {
                let value = own / median(against)?;
                Judged { value, met: value >= bound }
            }
            Bound::TimesAtMost(bound, against) => {
                let value = own / median(against)?;
                Judged { value, met: value <= bound }
            }
            Bound::AtLeast(bound) => Judged { value: own, met: own >= bound },
            Bound::AtMost(bound) => Judged { value: own, met: own <= bound },
        })
    }

    /// What it asks for.
    pub(crate) fn asks(&self) -> String {
        match self.bound {
            Bound::TimesAtLeast(bound, against) => format!("at least {bound} x {against}"),
            Bound::TimesAtMost(bound, against) => format!("at most {bound} x {against}"),
            Bound::AtLeast(bound) => format!("at least {}", crate::figures::shown(bound)),
            Bound::AtMost(bound) => format!("at most {}", crate::figures::shown(bound)),
        }
    }
}

/// The scenarios with these numbers or names; all when none is given.
pub(crate) fn chosen(wanted: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    let find = |wanted: &String| {
        let found = ALL
            .iter()
            .find(|scenario| scenario.name == wanted || scenario.number.to_string() == *wanted);
        found.ok_or_else(|| {
            let known = ALL.iter().map(|known| format!("{} {}", known.number, known.name));
            let known = known.collect::<Vec<_>>().join(", ");
            anyhow::anyhow!("no scenario is called {wanted}; there are {known}")
        })
    };
    if wanted.is_empty() { Ok(ALL.iter().collect()) } else { wanted.iter().map(find).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ottla: f64, kafka: f64) -> Vec<(Cell, Cells)> {
        let cell = |cell: Cell, figure| {
            let (mut found, mut cells) = (Found::default(), Cells::default());
            found.add("p99", figure);
            cells.take(found);
            (cell, cells)
        };
        vec![cell(Cell::OTTLA_OS, ottla), cell(Cell::KAFKA, kafka)]
    }

    #[test]
    fn goals_judge_medians() {
        let judge = |bound, ottla, kafka| {
            let goal = Goal { cell: "ottla, os", figure: "p99", bound };
            goal.judge(&measured(ottla, kafka)).map(|judged| (judged.value, judged.met))
        };
        assert_eq!(judge(Bound::TimesAtLeast(5.0, "kafka"), 50.0, 10.0), Some((5.0, true)));
        assert_eq!(judge(Bound::TimesAtLeast(5.0, "kafka"), 40.0, 10.0), Some((4.0, false)));
        assert_eq!(judge(Bound::TimesAtMost(0.5, "kafka"), 5.0, 10.0), Some((0.5, true)));
        assert_eq!(judge(Bound::TimesAtMost(0.5, "kafka"), 6.0, 10.0), Some((0.6, false)));
        assert_eq!(judge(Bound::AtLeast(6.0), 6.0, 0.0), Some((6.0, true)));
        assert_eq!(judge(Bound::AtMost(6.0), 6.1, 0.0), Some((6.1, false)));
        assert_eq!(judge(Bound::TimesAtMost(0.5, "nobody"), 6.0, 10.0), None);
    }

    #[test]
    fn numbers_and_names_are_unique_and_choose() {
        for (index, scenario) in ALL.iter().enumerate() {
            let later = ALL.get(index + 1..).unwrap_or_default();
            assert!(later.iter().all(|other| other.number > scenario.number));
            assert!(later.iter().all(|other| other.name != scenario.name));
            let by_name = chosen(&[scenario.name.to_owned()]).expect("known");
            let by_number = chosen(&[scenario.number.to_string()]).expect("known");
            assert_eq!(by_name[0].number, by_number[0].number);
            for goal in scenario.goals {
                let known = |name: &str| scenario.cells.iter().any(|cell| cell.name == name);
                assert!(known(goal.cell), "{}: no cell {}", scenario.name, goal.cell);
                if let Bound::TimesAtLeast(_, against) | Bound::TimesAtMost(_, against) = goal.bound
                {
                    assert!(known(against), "{}: no cell {against}", scenario.name);
                }
            }
        }
        assert_eq!(chosen(&[]).expect("all").len(), ALL.len());
        assert!(chosen(&["nothing".to_owned()]).is_err());
    }
}
