//! `hallmark validate-running`: what of that which runs would be denied today.
