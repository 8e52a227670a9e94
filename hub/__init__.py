"""What is built here to a Hub repository, and the bare names `euromine` and `ca_tiou` on this machine."""
