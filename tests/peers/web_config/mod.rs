//! The web configuration file, as curl and Prometheus meet it.

mod clients;
mod curl;
mod live;
mod prometheus;
mod users;
