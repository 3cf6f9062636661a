//! The Rust SDK: what the author of a plugin implements.
//!
//! [`Plugin`] is safe; [`crate::export_plugin!`] makes the C table out of it. `vocabulary` holds the
//! words the trait speaks in, `algorithm` the registry, `host` the services of the daemon, `looks`
//! reading what others write,
//! `thunks` the functions in the table with `rows` (batches) and `panic` (where unwinding ends),
//! `manifest` the passive section.

mod host;
mod looks;
#[doc(hidden)]
pub mod manifest;
mod panic;
mod rows;
#[doc(hidden)]
pub mod thunks;
mod vocabulary;

pub use hallmark_algorithm::{Curve, HashFunction, Scheme, SignatureAlgorithm as Algorithm};
pub use host::{Host, LogLevel};
pub use looks::agreeing;
pub use vocabulary::{
    Call, Caps, Decoded, Error, ErrorKind, Failure, Info, Item, Key, KeyFlags, Material, Refusal,
    Signed, Snapshot,
};

/// A plugin. One value is one configured instance; it is used from many threads at once.
///
/// Everything beyond [`Plugin::create`] answers "unsupported" until it is implemented;
/// [`Info::caps`] and [`Info::forms`] say what is. A panic is caught, logged and becomes an error
/// of the call, or of the one item of a batch.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The description of the plugin and of its abilities.
    const INFO: Info;

    /// An immutable set of keys, with whatever is needed to sign and verify with them. `()` for a
    /// plugin without keys of its own.
    type Snapshot: Send + Sync + 'static;

    /// Makes an instance of its configuration, a JSON document.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the configuration is wrong, with a text for its writer.
    fn create(host: Host, config: &str) -> Result<Self, Error>;

    /// Can it do its work now?
    ///
    /// # Errors
    /// Why not.
    fn health(&self, call: &Call<'_>) -> Result<(), Error> {
        let _ = call;
        Ok(())
    }

    /// Takes the picture of all keys. Needs [`Caps::KEYS`].
    ///
    /// # Errors
    /// The host keeps the last snapshot and counts the error.
    fn snapshot(&self, call: &Call<'_>) -> Result<Snapshot<Self::Snapshot>, Error> {
        let _ = call;
        Err(Error::unsupported())
    }

    /// Every key of a snapshot. Needs [`Caps::KEYS`].
    ///
    /// # Errors
    /// As [`Plugin::snapshot`].
    fn keys(&self, snapshot: &Self::Snapshot) -> Result<Vec<Key>, Error> {
        let _ = snapshot;
        Err(Error::unsupported())
    }

    /// The keys in inline key material. Needs [`Info::forms`].
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where the material is not of its form, with a text for whoever
    /// wrote the attestor.
    fn resolve(&self, call: &Call<'_>, material: &Material<'_>) -> Result<Vec<Key>, Error> {
        let _ = (call, material);
        Err(Error::unsupported())
    }

    /// Takes one signature blob apart: one answer, at least, for every signature in it. Needs
    /// [`Caps::DECODE`].
    ///
    /// # Errors
    /// Why the blob yields no signature, where there is no more to say than that.
    fn decode(
        &self,
        snapshot: Option<&Self::Snapshot>,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<Vec<Decoded>, Failure> {
        let _ = (snapshot, item, call);
        Err(Failure::AlgUnsupported)
    }

    /// Verifies one signature, for keys without [`KeyFlags::HOST_VERIFY`]. Needs [`Caps::VERIFY`].
    /// `Ok` states that the signature is the key's, over this message.
    ///
    /// # Errors
    /// Why it is not, or could not be found out.
    fn verify(
        &self,
        snapshot: Option<&Self::Snapshot>,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<(), Failure> {
        let _ = (snapshot, item, call);
        Err(Failure::AlgUnsupported)
    }

    /// Signs `item.message` with the key of `item.key_handle`. Needs [`Caps::SIGN`].
    ///
    /// # Errors
    /// Why it cannot.
    fn sign(
        &self,
        snapshot: &Self::Snapshot,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let _ = (snapshot, item, call);
        Err(Failure::AlgUnsupported)
    }

    /// As [`Plugin::sign`], where `item.message` is the digest that the algorithm makes of the
    /// message: for keys whose holder is handed no more than that.
    ///
    /// # Errors
    /// Why it cannot.
    fn sign_digest(
        &self,
        snapshot: &Self::Snapshot,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let _ = (snapshot, item, call);
        Err(Failure::AlgUnsupported)
    }
}

/// Exports a [`Plugin`] as the crate's one symbol, `hallmark_plugin_entry_v1`, and its passive
/// manifest as the section `hallmark_manifest`. To be used once, in a crate of type `cdylib`.
///
/// The crate may `forbid(unsafe_code)`: that lint looks at code written in the crate, and the
/// unsafe here is written, and answered for, in this one.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        const _: () = {
            #[cfg(panic = "abort")]
            compile_error!("a plugin must be built with panic = \"unwind\": a panic has to end a call, not the daemon");

            #[used]
            #[unsafe(link_section = "hallmark_manifest")]
            static MANIFEST: [u8; $crate::manifest::len(&<$plugin as $crate::Plugin>::INFO)] =
                $crate::manifest::bytes(&<$plugin as $crate::Plugin>::INFO);

            #[unsafe(no_mangle)]
            unsafe extern "C" fn hallmark_plugin_entry_v1(
                host: *const $crate::abi::Host,
            ) -> *const $crate::abi::Plugin {
                static TABLE: $crate::thunks::Table = $crate::thunks::Table::new();
                // SAFETY: the caller keeps the contract of the symbol, which is that of the callee.
                unsafe { $crate::thunks::entry::<$plugin>(host, &TABLE) }
            }
        };
    };
}
