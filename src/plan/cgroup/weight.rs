//! Weights of cgroup v1, in which people ask, as those of cgroup v2.

/// The weight that everybody has.
const USUAL: f64 = 100.0;

/// `cpu.weight` for `cpu.shares`: a parabola of the logarithms through the
/// least (2 is 1), the usual (1024 is 100) and the most (262144 is 10000),
/// rounded up; what runc from 1.3.2 and crun from 1.23 do.
pub fn of_shares(shares: u64) -> u64 {
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (log * log + 125.0 * log - 126.0) / 612.0;
    10_f64.powf(exponent).ceil() as u64
}

/// `io.weight` for `blkio.weight`: a line from 10, which is 1, to 1000, which
/// is 10000, as runc and crun have it.
pub fn of_blkio(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1000) - 10) * 9999 / 990
}

/// The nice value that comes near to a weight of the CPU; each makes 1.25 of
/// the next (sched(7)). None for more than usual, which is not ours to take.
pub fn nice(weight: u64) -> Option<i8> {
    let steps = (USUAL / weight.max(1) as f64).log(1.25).round();
    (steps > 0.0).then_some(steps.min(19.0) as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_as_elsewhere() {
        for (shares, weight) in [
            (2, 1),
            (3, 2),
            (10, 4),
            (100, 17),
            (200, 29),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_143, 10_000),
            (262_144, 10_000),
        ] {
            assert_eq!(of_shares(shares), weight, "{shares}");
        }
        assert_eq!((of_shares(0), of_shares(u64::MAX)), (1, 10_000));
    }

    #[test]
    fn weights_of_disks_are_a_line() {
        for (weight, line) in [(10, 1), (100, 910), (500, 4950), (1000, 10_000)] {
            assert_eq!(of_blkio(weight), line, "{weight}");
        }
    }

    #[test]
    fn less_weight_is_nicer() {
        assert_eq!(nice(100), None);
        assert_eq!(nice(10_000), None);
        assert_eq!(nice(80), Some(1));
        assert_eq!(nice(50), Some(3));
        assert_eq!(nice(1), Some(19));
        assert_eq!(nice(0), Some(19));
    }
}
