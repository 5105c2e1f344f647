//! The operator's commands: facilities, devices, persons, exports; through the running relay or on its files.
