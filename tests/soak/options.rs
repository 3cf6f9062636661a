//! The options of the soak.

use std::time::Duration;

use super::plant::Plant;

const USAGE: &str =
    "usage: soak [--minutes N | --seconds N] [--seed N] [--plant stale|unsigned|lost|missing]";

/// The length of a run if nobody says.
const TIME: Duration = Duration::from_secs(180);

/// The options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// After it the last life begins.
    pub(crate) time: Duration,
    /// A fault made on purpose.
    pub(crate) plant: Option<Plant>,
}

impl Options {
    /// As the arguments say, or what is wrong with them.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let mut this = Self { time: TIME, plant: None };
        while let Some(option) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            let number = || value.parse::<u64>().map_err(|_| format!("{option} {value}? {USAGE}"));
            match option.as_str() {
                "--minutes" => this.time = Duration::from_secs(60 * number()?),
                "--seconds" => this.time = Duration::from_secs(number()?),
                "--seed" => fastrand::seed(number()?),
                "--plant" => {
                    let plant = Plant::parse(&value);
                    this.plant = Some(plant.ok_or_else(|| format!("no fault {value}; {USAGE}"))?);
                }
                _ => return Err(format!("{option}? {USAGE}")),
            }
        }
        Ok(this)
    }

    /// The length of the next life: short enough for four in any run, for a crash every few seconds
    /// in a long one, and for a fault made on purpose to be found soon.
    pub(crate) fn life(&self) -> Duration {
        let most = Duration::from_secs(if self.plant.is_some() { 3 } else { 20 });
        let longest = (self.time / 4).min(most);
        longest.mul_f64(0.25 + 0.75 * fastrand::f64())
    }
}
