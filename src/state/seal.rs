//! A text with a checksum behind it, so that a damaged one is never believed.
//!
//! The sealed text is still a series of JSON values, which `jq` reads.

use std::io::Write;

/// What stands between a text and its checksum: a line of its own.
const MARK: &[u8] = b"\n\"crc32 ";
const END: &[u8] = b"\"\n";
const DIGITS: usize = 8;

/// Puts the checksum behind `text`.
pub fn seal(mut text: Vec<u8>) -> Vec<u8> {
    let sum = crc32(&text);
    text.extend_from_slice(MARK);
    // Writing to memory doesn't fail.
    let _ = write!(text, "{sum:08x}");
    text.extend_from_slice(END);
    text
}

/// The text that was sealed; `None` if a byte is missing, changed or added.
pub fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let rest = sealed.strip_suffix(END)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let text = rest.strip_suffix(MARK)?;
    // As it was written, letter by letter: "+" and capitals are numbers too.
    (digits == format!("{:08x}", crc32(text)).as_bytes()).then_some(text)
}

/// CRC-32 as in ISO 3309, reflected, the polynomial of gzip: finds every change
/// within 32 bits.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut sum = at as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(seal(b"{}".to_vec()), b"{}\n\"crc32 a3a6bf43\"\n");
    }

    #[test]
    fn no_change_of_one_byte_goes_unseen() {
        let sealed = seal(br#"{"version":1,"id":"ab"}"#.to_vec());
        assert!(unseal(&sealed).is_some());
        for at in 0..sealed.len() {
            assert!(unseal(&sealed[..at]).is_none(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(unseal(&changed).is_none(), "bit {bit} of byte {at}");
            }
        }
        assert!(unseal(&[&sealed[..], b"\n"].concat()).is_none());
        assert!(unseal(b"").is_none());
    }
}
