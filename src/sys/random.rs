//! Bytes that nobody can guess: getrandom(2).

use super::{Errno, Result, call};

/// Fills `bytes`. Needs no file, and waits only at boot.
pub fn fill(mut bytes: &mut [u8]) -> Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the kernel writes at most as many bytes as the slice has.
        let answer = unsafe { call!(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
        match answer {
            Ok(length) => bytes = bytes.get_mut(length as usize..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        fill(&mut one).unwrap();
        fill(&mut other).unwrap();
        assert!(one != other && one != [0; 32]);
    }
}
