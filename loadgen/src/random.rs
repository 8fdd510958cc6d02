//! Random numbers that are the same on every machine, and what is chosen with them.

/// SplitMix64 (Steele, Lea and Flood, 2014): one addition and two multiplications a number, any seed is good.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own for each pair of seed and stream.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`, which must not be 0. (Lemire's multiplication; the bias of 2⁻⁶⁴·limit is no matter.)
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((self.next() as u128 * limit as u128) >> 64) as u64
    }

    /// A number in [0, 1).
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed: the gaps of a Poisson process.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.fraction()).ln()
    }

    /// Normally distributed, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.fraction()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.fraction()).cos()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Zipf's law over `0..count`: the item of rank r is chosen with a weight of 1 / (r + 1)^exponent.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: u64, exponent: f64) -> Self {
        let mut total = 0.0;
        let cumulative = (1..=count)
            .map(|rank| {
                total += (rank as f64).powf(-exponent);
                total
            })
            .collect();
        Self { cumulative }
    }

    pub(crate) fn choose(&self, random: &mut Random) -> u64 {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let wanted = random.fraction() * total;
        let found = self.cumulative.partition_point(|&up_to| up_to <= wanted);
        found.min(self.cumulative.len().saturating_sub(1)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_stream_give_the_same_numbers_everywhere() {
        let mut random = Random::new(7, 3);
        let first: Vec<u64> = (0..3).map(|_| random.below(1000)).collect();
        assert_eq!(first, [393, 893, 34]);
        assert_ne!(Random::new(7, 4).next(), Random::new(7, 3).next());
    }

    #[test]
    fn exponential_gaps_have_their_mean() {
        let mut random = Random::new(1, 1);
        let mean = (0..100_000).map(|_| random.exponential(5.0)).sum::<f64>() / 100_000.0;
        assert!((4.9..5.1).contains(&mean), "{mean}");
    }

    #[test]
    fn zipf_prefers_the_first_as_its_law_says() {
        let (zipf, mut random) = (Zipf::new(1000, 1.0), Random::new(1, 2));
        let mut counts = vec![0u32; 1000];
        for _ in 0..100_000 {
            counts[zipf.choose(&mut random) as usize] += 1;
        }
        // H(1000) = 7.485, so the first gets 13.4 %, the tenth a tenth of that.
        assert!((12_800..13_900).contains(&counts[0]), "{}", counts[0]);
        assert!((1_150..1_530).contains(&counts[9]), "{}", counts[9]);
        assert!(counts[999] < 60);
    }
}
