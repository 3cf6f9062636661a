//! Google's predefined roles, as far as what they permit exists here, and two of our own.

use std::fmt;
use std::str::FromStr;

use hallmark_core::excerpt::Excerpt;

use super::permission::Permission::{self, *};

macro_rules! roles {
    ($($name:ident $text:literal $permissions:expr;)*) => {
        /// A named set of permissions.
        ///
        /// `Display` and `FromStr` are Google's spelling, `roles/service.name`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Role {
            $(#[doc = concat!("`", $text, "`.")] $name,)*
        }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Google's spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The permissions that it gives.
            pub const fn permissions(self) -> &'static [Permission] {
                match self { $(Self::$name => const { $permissions }),* }
            }
        }
    };
}

roles! {
    PolicyViewer "roles/binaryauthorization.policyViewer"
        &[PolicyGet, PlatformPoliciesGet, PlatformPoliciesList];
    PolicyEvaluator "roles/binaryauthorization.policyEvaluator"
        &[PolicyGet, PolicyEvaluate, PlatformPoliciesGet, PlatformPoliciesList,
          PlatformPoliciesEvaluate];
    PolicyEditor "roles/binaryauthorization.policyEditor"
        &[PolicyGet, PolicyUpdate, PolicyEvaluate, PlatformPoliciesCreate, PlatformPoliciesDelete,
          PlatformPoliciesEvaluate, PlatformPoliciesGet, PlatformPoliciesList,
          PlatformPoliciesReplace];
    PolicyAdmin "roles/binaryauthorization.policyAdmin"
        &[PolicyGet, PolicyUpdate, PolicyEvaluate, PolicyGetIamPolicy, PolicySetIamPolicy,
          PlatformPoliciesCreate, PlatformPoliciesDelete, PlatformPoliciesEvaluate,
          PlatformPoliciesGet, PlatformPoliciesList, PlatformPoliciesReplace];
    AttestorsViewer "roles/binaryauthorization.attestorsViewer" &[AttestorsGet, AttestorsList];
    AttestorsVerifier "roles/binaryauthorization.attestorsVerifier"
        &[AttestorsGet, AttestorsList, AttestorsVerifyImageAttested];
    AttestorsEditor "roles/binaryauthorization.attestorsEditor"
        &[AttestorsCreate, AttestorsDelete, AttestorsGet, AttestorsList, AttestorsUpdate,
          AttestorsVerifyImageAttested];
    AttestorsAdmin "roles/binaryauthorization.attestorsAdmin"
        &[AttestorsCreate, AttestorsDelete, AttestorsGet, AttestorsList, AttestorsUpdate,
          AttestorsVerifyImageAttested, AttestorsGetIamPolicy, AttestorsSetIamPolicy];
    NotesViewer "roles/containeranalysis.notes.viewer" &[NotesGet, NotesList];
    NotesEditor "roles/containeranalysis.notes.editor"
        &[NotesAttachOccurrence, NotesCreate, NotesDelete, NotesGet, NotesList, NotesUpdate];
    NotesAttacher "roles/containeranalysis.notes.attacher" &[NotesAttachOccurrence, NotesGet];
    NotesOccurrencesViewer "roles/containeranalysis.notes.occurrences.viewer"
        &[NotesGet, NotesListOccurrences];
    OccurrencesViewer "roles/containeranalysis.occurrences.viewer"
        &[OccurrencesGet, OccurrencesList];
    OccurrencesEditor "roles/containeranalysis.occurrences.editor"
        &[OccurrencesCreate, OccurrencesDelete, OccurrencesGet, OccurrencesList,
          OccurrencesUpdate];
    ContainerAnalysisAdmin "roles/containeranalysis.admin"
        &[NotesAttachOccurrence, NotesCreate, NotesDelete, NotesGet, NotesList,
          NotesListOccurrences, NotesUpdate, NotesGetIamPolicy, NotesSetIamPolicy,
          OccurrencesCreate, OccurrencesDelete, OccurrencesGet, OccurrencesList,
          OccurrencesUpdate, OccurrencesGetIamPolicy, OccurrencesSetIamPolicy];
    CryptoKeySigner "roles/cloudkms.signer" &[CryptoKeyVersionsUseToSign];
    CryptoKeyPublicKeyViewer "roles/cloudkms.publicKeyViewer" &[CryptoKeyVersionsViewPublicKey];
    CryptoKeySignerVerifier "roles/cloudkms.signerVerifier"
        &[CryptoKeyVersionsUseToSign, CryptoKeyVersionsViewPublicKey];
    Decider "roles/hallmark.decider" &[DecisionsCreate];
    Operator "roles/hallmark.operator" &[OperationsGet];
}

impl Role {
    /// True if it permits this.
    pub fn permits(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Characters of a name that an error repeats: the longest role has 50.
const ROLE_CHARS_SHOWN: usize = 128;

/// No role has this name. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no role `{0}`: docs/security.md lists them")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.iter().find(|role| role.as_str() == text);
        found.copied().ok_or_else(|| UnknownRole(Excerpt::<ROLE_CHARS_SHOWN>(text).to_string()))
    }
}
