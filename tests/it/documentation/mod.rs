//! What the pages say is held against the program: keys and defaults of the configuration, flags, and where links lead.

mod behaviour;
mod configuration;
mod flags;
mod index;
mod links;
mod pages;
mod web_configuration;
