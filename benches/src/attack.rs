//! What a stranger and a caller without a role cost a cluster: its latency at a fixed rate while
//! they do what they can, over its latency without them, turn about on the same daemon.
//!
//! Strangers open connections, send half a body each and open the next as soon as they are refused;
//! the role-less asks over connections of its own as fast as it is answered. All of them run on the
//! core of the load, so what their own work costs is charged to the daemon.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::closed_loop::Connections;
use crate::connection::{Connection, request};
use crate::corpus::{PROJECT, Signer};
use crate::daemon::{Caches, Daemon, allows, ask};
use crate::report::Line;
use crate::stats::Sample;
use crate::{Options, corpus, open_loop};

/// Connections of strangers, each with a body on its way, and of the role-less.
const STRANGERS: usize = 256;
const ROLELESS: usize = 64;
/// Distinct images of the cluster, all of them warm.
const IMAGES: u64 = 1_000;
/// The promise: p99 moves by less than a tenth.
const AIM: f64 = 1.1;

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Line> {
    let dir = tempfile::tempdir()?;
    let signer = Signer::generate()?;
    {
        let open = Daemon::start(dir.path(), Caches::DEFAULT)?;
        open.set_up(signer.setup())?;
        open.file(&signer.attest(0..IMAGES)?)?;
    }
    let auth = dir.path().join("auth.toml");
    std::fs::write(&auth, authentication())?;
    let auth = format!("[auth]\nfile = '{}'\n", auth.display());
    let daemon = Daemon::start_with(dir.path(), Caches::DEFAULT, &auth)?;
    let address = daemon.server.address;
    let requests: Vec<_> =
        (0..IMAGES).map(|image| bearing("cluster", &ask(&corpus::image(image)))).collect();
    let mut warming = Connection::open(address, false)?;
    requests.iter().try_for_each(|request| warming.call(request).map(drop))?;
    let count = (options.seconds * f64::from(options.rate)) as usize;
    let requests: Vec<_> = requests.iter().cycle().take(count).cloned().collect();
    let (mut ratios, mut quiet, mut attacked) =
        (Sample::default(), Sample::default(), Sample::default());
    let mut refused = 0;
    for round in 0..options.pairs {
        let calm = open_loop::run(address, &requests, options.rate, allows)?.quantile(0.99);
        let mut attack = Attack::begin(address)?;
        let beside = || attack.go_on();
        let under =
            open_loop::run_beside(address, &requests, options.rate, allows, beside)?.quantile(0.99);
        refused += attack.refused;
        quiet.push(calm);
        attacked.push(under);
        ratios.push(under / calm);
        eprintln!("  round {round}: {calm:.0} µs, attacked {under:.0} µs");
    }
    Ok(Line::new("attack")
        .fact(
            "p99 ratio",
            format!(
                "{:.2} [{:.2}..{:.2}] aim below {AIM:.2}",
                ratios.median(),
                ratios.quantile(0.0),
                ratios.quantile(1.0)
            ),
        )
        .fact("quiet", format!("{:.0} µs", quiet.median()))
        .fact("attacked", format!("{:.0} µs", attacked.median()))
        .fact("requests/s", options.rate)
        .fact("refused", refused)
        .fact("rounds", options.pairs))
}

/// `user:cluster` may decide; `user:roleless` is known and may nothing.
fn authentication() -> String {
    let known = |name: &str| {
        let hash = Sha256::digest(name.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'\n")
    };
    format!(
        "{}{}[[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['user:cluster']\n\
         projects = ['{PROJECT}']\n",
        known("cluster"),
        known("roleless")
    )
}

/// The request with a token, which is the name of its principal.
fn bearing(token: &str, request: &[u8]) -> Vec<u8> {
    let line = request.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
    let header = format!("authorization: Bearer {token}\r\n");
    [&request[..line], header.as_bytes(), &request[line..]].concat()
}

/// Strangers and the role-less at work.
struct Attack {
    address: SocketAddr,
    slow: Vec<u8>,
    strangers: Vec<Connection>,
    roleless: Connections,
    asked: Vec<u8>,
    answered: Vec<usize>,
    turn: usize,
    refused: u64,
}

impl Attack {
    fn begin(address: SocketAddr) -> anyhow::Result<Self> {
        let body = corpus::question(&corpus::image(0));
        let whole = request("POST", "/v1/decisions", body.as_bytes());
        let slow = whole[..whole.len() - body.len() / 2].to_vec();
        let asked = bearing("roleless", &whole);
        let strangers =
            (0..STRANGERS).map(|_| stranger(address, &slow)).collect::<Result<_, _>>()?;
        let mut roleless = Connections::open(address, ROLELESS)?.expecting(403);
        (0..ROLELESS).try_for_each(|index| roleless.send(index, &asked))?;
        let answered = Vec::new();
        Ok(Self { address, slow, strangers, roleless, asked, answered, turn: 0, refused: 0 })
    }

    /// Takes what was answered to the role-less and to one stranger, and has them ask again.
    fn go_on(&mut self) -> anyhow::Result<()> {
        self.roleless.poll(|_| true, &mut self.answered)?;
        self.refused += self.answered.len() as u64;
        for index in self.answered.drain(..) {
            self.roleless.send(index, &self.asked)?;
        }
        self.turn = (self.turn + 1) % self.strangers.len();
        if let Some(answer) = self.strangers[self.turn].receive()? {
            anyhow::ensure!(answer.status == 401, "a stranger was answered {}", answer.status);
            self.refused += 1;
            self.strangers[self.turn] = stranger(self.address, &self.slow)?;
        }
        Ok(())
    }
}

fn stranger(address: SocketAddr, slow: &[u8]) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(address, true)?;
    connection.send(slow)?;
    Ok(connection)
}
