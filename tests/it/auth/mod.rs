//! Credentials: where they come from, whom they are sent to, and what becomes of refusals.

mod authentication;
mod credentials_first;
mod environment;
mod scopes;
mod secrets;
