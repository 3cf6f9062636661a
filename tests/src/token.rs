//! A PKCS#11 token of SoftHSM, and what may happen to one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::keys::{Key, write};

/// The library of Debian's softhsm2, on any architecture.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The secret that nobody but the token and the file [`Token::pin_file`] may hold.
pub const PIN: &str = "pin-that-nobody-prints-4711";

/// A token labelled `t`, in a directory of its own.
#[derive(Debug)]
pub struct Token {
    dir: PathBuf,
}

impl Token {
    /// Makes a token in `dir/token`.
    pub fn new(dir: &Path) -> Self {
        let dir = dir.join("token");
        std::fs::create_dir_all(dir.join("plugged")).expect("creates");
        let plugged = dir.join("plugged").display().to_string();
        let conf = format!("directories.tokendir = {plugged}\nlog.level = ERROR\n");
        write(&dir, "softhsm2.conf", conf.as_bytes());
        write(&dir, "pin", PIN.as_bytes());
        let this = Self { dir };
        this.util(&["--init-token", "--free", "--label", "t", "--so-pin", "1234", "--pin", PIN]);
        this
    }

    /// For `SOFTHSM2_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("softhsm2.conf")
    }

    /// A file with the PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.dir.join("pin")
    }

    /// Puts a key pair into the token; `id` in hexadecimal.
    pub fn import(&self, key: &Key, label: &str, id: &str) {
        let (private, _) = key.write(&self.dir, &format!("{label}-{id}"));
        let private = private.display().to_string();
        let place = ["--token", "t", "--pin", PIN, "--label", label, "--id", id];
        self.util(&[&["--import", &private], place.as_slice()].concat());
    }

    /// Pulls the token out, or plugs it in again.
    pub fn plug(&self, there: bool) {
        let (place, aside) = (self.dir.join("plugged"), self.dir.join("aside"));
        std::fs::create_dir_all(&aside).expect("creates");
        let (from, to) = if there { (aside, place) } else { (place, aside) };
        for token in std::fs::read_dir(from).expect("lists") {
            let token = token.expect("lists");
            std::fs::rename(token.path(), to.join(token.file_name())).expect("moves");
        }
    }

    /// A library like [`MODULE`] that hangs in every signature and every search for keys while
    /// [`Token::stuck`] is there.
    pub fn module_that_hangs(&self) -> PathBuf {
        let source = format!(
            "#include <dlfcn.h>\n#include <unistd.h>\n\
             typedef unsigned long rv;\n\
             static rv (*sign)(rv, void *, rv, void *, rv *);\n\
             static rv (*find)(rv, void *, rv);\n\
             static void stuck(void) {{ while (access(\"{}\", F_OK) == 0) usleep(1000); }}\n\
             static rv hang_sign(rv s, void *d, rv n, void *o, rv *l) {{\n\
             stuck(); return sign(s, d, n, o, l); }}\n\
             static rv hang_find(rv s, void *t, rv n) {{ stuck(); return find(s, t, n); }}\n\
             rv C_GetFunctionList(void ***list) {{\n\
             static void *copy[69];\n\
             void *library = dlopen(\"{MODULE}\", RTLD_NOW | RTLD_LOCAL);\n\
             rv (*get)(void ***) = library ? dlsym(library, \"C_GetFunctionList\") : 0;\n\
             void **whole;\n\
             if (!get || get(&whole) != 0) return 5;\n\
             for (int i = 0; i < 69; i++) copy[i] = whole[i];\n\
             find = copy[27]; copy[27] = hang_find;\n\
             sign = copy[44]; copy[44] = hang_sign;\n\
             *list = copy; return 0; }}\n",
            self.stuck().display()
        );
        let source = write(&self.dir, "hangs.c", source.as_bytes());
        let library = self.dir.join("libhangs.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(cc.status().expect("cc runs").success());
        library
    }

    /// The file that makes [`Token::module_that_hangs`] hang.
    pub fn stuck(&self) -> PathBuf {
        self.dir.join("stuck")
    }

    fn util(&self, arguments: &[&str]) {
        let mut util = Command::new("softhsm2-util");
        let output = util.args(arguments).env("SOFTHSM2_CONF", self.conf()).output();
        let output = output.expect("softhsm2-util runs: see tests/tools.sh");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
