//! The wall clock as people on this machine read it: localtime(3).

/// A local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// From 0, January.
    pub month: usize,
    /// From 1.
    pub day: i32,
    /// From 0 to 23.
    pub hour: i32,
    /// From 0 to 59.
    pub minute: i32,
}

/// So many seconds after the first of 1970, in the time zone of the caller.
pub fn local(seconds: i64) -> Local {
    // Holds a number of the type that the library's own header gives it.
    let moment = libc::timespec { tv_sec: seconds as _, tv_nsec: 0 };
    // SAFETY: `tm` is plain numbers and a pointer, for which zero is a value.
    // The library reads one number and writes one structure; there is one
    // thread, so nobody changes TZ meanwhile.
    let time = unsafe {
        let mut time: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const moment.tv_sec, &raw mut time);
        time
    };
    let month = usize::try_from(time.tm_mon).unwrap_or_default();
    Local { month, day: time.tm_mday, hour: time.tm_hour, minute: time.tm_min }
}
