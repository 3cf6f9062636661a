//! Permissions of callers, in the words of Google's services.

use std::fmt;
use std::str::FromStr;

macro_rules! permissions {
    ($($name:ident $text:literal $effect:ident;)*) => {
        /// One thing that a caller may be allowed to do.
        ///
        /// `Display` and `FromStr` are Google's spelling, `service.resource.verb`; `hallmark.*` are
        /// our own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Permission {
            $(#[doc = concat!("`", $text, "`.")] $name,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Google's spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// True if its use changes something, so that every use is recorded.
            pub const fn writes(self) -> bool {
                match self { $(Self::$name => permissions!(@$effect)),* }
            }
        }
    };
    (@read) => { false };
    (@write) => { true };
}

permissions! {
    PolicyGet "binaryauthorization.policy.get" read;
    PolicyUpdate "binaryauthorization.policy.update" write;
    PolicyEvaluate "binaryauthorization.policy.evaluatePolicy" read;
    PolicyGetIamPolicy "binaryauthorization.policy.getIamPolicy" read;
    PolicySetIamPolicy "binaryauthorization.policy.setIamPolicy" write;
    PlatformPoliciesCreate "binaryauthorization.platformPolicies.create" write;
    PlatformPoliciesDelete "binaryauthorization.platformPolicies.delete" write;
    PlatformPoliciesEvaluate "binaryauthorization.platformPolicies.evaluatePolicy" read;
    PlatformPoliciesGet "binaryauthorization.platformPolicies.get" read;
    PlatformPoliciesList "binaryauthorization.platformPolicies.list" read;
    PlatformPoliciesReplace "binaryauthorization.platformPolicies.replace" write;
    AttestorsCreate "binaryauthorization.attestors.create" write;
    AttestorsDelete "binaryauthorization.attestors.delete" write;
    AttestorsGet "binaryauthorization.attestors.get" read;
    AttestorsList "binaryauthorization.attestors.list" read;
    AttestorsUpdate "binaryauthorization.attestors.update" write;
    AttestorsGetIamPolicy "binaryauthorization.attestors.getIamPolicy" read;
    AttestorsSetIamPolicy "binaryauthorization.attestors.setIamPolicy" write;
    AttestorsVerifyImageAttested "binaryauthorization.attestors.verifyImageAttested" read;
    NotesAttachOccurrence "containeranalysis.notes.attachOccurrence" write;
    NotesCreate "containeranalysis.notes.create" write;
    NotesDelete "containeranalysis.notes.delete" write;
    NotesGet "containeranalysis.notes.get" read;
    NotesList "containeranalysis.notes.list" read;
    NotesListOccurrences "containeranalysis.notes.listOccurrences" read;
    NotesUpdate "containeranalysis.notes.update" write;
    NotesGetIamPolicy "containeranalysis.notes.getIamPolicy" read;
    NotesSetIamPolicy "containeranalysis.notes.setIamPolicy" write;
    OccurrencesCreate "containeranalysis.occurrences.create" write;
    OccurrencesDelete "containeranalysis.occurrences.delete" write;
    OccurrencesGet "containeranalysis.occurrences.get" read;
    OccurrencesList "containeranalysis.occurrences.list" read;
    OccurrencesUpdate "containeranalysis.occurrences.update" write;
    OccurrencesGetIamPolicy "containeranalysis.occurrences.getIamPolicy" read;
    OccurrencesSetIamPolicy "containeranalysis.occurrences.setIamPolicy" write;
    CryptoKeyVersionsUseToSign "cloudkms.cryptoKeyVersions.useToSign" write;
    CryptoKeyVersionsViewPublicKey "cloudkms.cryptoKeyVersions.viewPublicKey" read;
    DecisionsCreate "hallmark.decisions.create" read;
    OperationsGet "hallmark.operations.get" read;
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No permission has this name. Whoever asked is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no permission `{0}`")]
pub struct UnknownPermission(pub String);

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.iter().find(|permission| permission.as_str() == text);
        found.copied().ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}
