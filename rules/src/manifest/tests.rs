//! What `check` says of manifests, as text in and text out.
