//! The vendor's library: loaded once in the life of the process and never unloaded, which is not
//! safe with a vendor's library. It is initialized once, and again only where nothing else brings a
//! token back: many look for tokens at no other time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

static LOADED: Mutex<BTreeMap<String, Module>> = Mutex::new(BTreeMap::new());
/// Read while a library works, written to begin it again. Nobody waits to write, so that no call
/// waits for one that hangs.
static AT_WORK: RwLock<()> = RwLock::new(());

#[derive(Clone, Copy)]
struct Module {
    library: &'static Pkcs11,
    initialized: bool,
}

/// Keeps every library from beginning again.
pub(crate) fn at_work() -> RwLockReadGuard<'static, ()> {
    AT_WORK.read().unwrap_or_else(PoisonError::into_inner)
}

/// The library in that file.
pub(crate) fn load(path: &str) -> Result<&'static Pkcs11, Error> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let module = match loaded.get_mut(path) {
        Some(module) => module,
        None => {
            let library: &'static Pkcs11 = Box::leak(Box::new(Pkcs11::new(path)?));
            loaded.entry(path.to_owned()).or_insert(Module { library, initialized: false })
        }
    };
    if !module.initialized {
        match module.library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another name of a library that is loaded already.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error),
        }
        module.initialized = true;
    }
    Ok(module.library)
}

/// Ends the library, so that the next [`load`] initializes it; not while anybody is at work in it.
/// All sessions are gone then.
pub(crate) fn begin_anew(path: &str) {
    let Ok(_nobody) = AT_WORK.try_write() else { return };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get_mut(path).filter(|module| module.initialized)
        && module.library.clone().finalize().is_ok()
    {
        module.initialized = false;
    }
}
