//! Deliver: inbox, container and files to recipients; no byte leaves before the record of who takes it is durable.
