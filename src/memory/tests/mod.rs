mod buffer;
#[cfg(all(target_os = "linux", not(miri)))]
mod numa;
mod pool;
