//! Plugins that break the contract.
