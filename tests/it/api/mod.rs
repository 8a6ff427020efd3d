//! The JSON API over real sockets: what it answers, to whom, in which form, and that its description is true.

mod documentation;
mod findings;
mod http;
mod images;
mod openapi;

mod pages;
mod service;
mod sweeps;
