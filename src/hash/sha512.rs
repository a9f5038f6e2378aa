//! SHA-512 and SHA-384 of several messages at once, one in each lane of the processor's vector registers.
//!
//! One message cannot be spread over lanes, because each of its 128-byte blocks needs the result of the previous one.
//! Several independent messages can. With AVX-512, one core does four times the work of the best code for a single
//! message.

use sha2::block_api::compress512;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod rounds;

/// Bytes that one call of the compression function processes.
const BLOCK: usize = 128;

/// FIPS 180-4, 5.3.5: the first 64 bits of the fractional parts of the square roots of the first 8 primes.
const SHA512_START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// FIPS 180-4, 5.3.4: the same for the ninth to the sixteenth prime.
const SHA384_START: [u64; 8] = [
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
    0xdb0c_2e0d_64f9_8fa7,
    0x47b5_481d_befa_4fa4,
];

/// The eight chaining values of each lane: `state[word][lane]`.
type State<const LANES: usize> = [[u64; LANES]; 8];

/// The two hash functions that use this compression function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// The digest has 64 bytes.
    Sha512,
    /// Another start value. The digest is the first 48 bytes of the result.
    Sha384,
}

impl Variant {
    fn start(self) -> [u64; 8] {
        match self {
            Variant::Sha512 => SHA512_START,
            Variant::Sha384 => SHA384_START,
        }
    }

    fn digest_bytes(self) -> usize {
        match self {
            Variant::Sha512 => 64,
            Variant::Sha384 => 48,
        }
    }
}

/// The implementation, depending on the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// One message at a time, by the library.
    Single,
    /// Four at once.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Eight at once.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The fastest implementation that this processor can run.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if avx512::available() {
                return Kernel::Avx512;
            }
            if avx2::available() {
                return Kernel::Avx2;
            }
        }
        Kernel::Single
    }

    /// Number of messages processed at once.
    pub(super) fn lanes(self) -> usize {
        match self {
            Kernel::Single => 1,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => 4,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => 8,
        }
    }

    /// The digests of `messages`, in the same order. They may have any lengths, but equal lengths fill the lanes best.
    pub(super) fn digest_all<D>(
        self,
        variant: Variant,
        messages: &[&[u8]],
        finish: impl Fn(&[u8]) -> D,
    ) -> Vec<D> {
        let states = match self {
            Kernel::Single => run::<1>(variant, messages, 1, single),
            // A lane of four is half as fast as the code for one message. A lane of eight is two thirds as fast.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => run::<4>(variant, messages, 3, avx2::compress),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => run::<8>(variant, messages, 2, avx512::compress),
        };
        let digest = |state: [u64; 8]| {
            let mut bytes = [0; 64];
            for (bytes, word) in bytes.chunks_exact_mut(8).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
            finish(&bytes[..variant.digest_bytes()])
        };
        states.into_iter().map(digest).collect()
    }
}

/// The last bytes of a message with the padding of FIPS 180-4, 5.1.2: a one bit, zeros, the length in bits.
struct Tail {
    bytes: [u8; 2 * BLOCK],
    length: usize,
}

impl Tail {
    fn of(message: &[u8]) -> Self {
        let rest = &message[message.len() / BLOCK * BLOCK..];
        let mut bytes = [0; 2 * BLOCK];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let length = (rest.len() + 1 + 16).next_multiple_of(BLOCK);
        bytes[length - 16..length].copy_from_slice(&(message.len() as u128 * 8).to_be_bytes());
        Tail { bytes, length }
    }
}

/// The work of a lane.
struct Lane<'a> {
    message: usize,
    /// The rest of the current part, in whole blocks.
    rest: &'a [u8],
    /// The part after the current one.
    tail: Option<&'a [u8]>,
}

/// Distributes the messages to the lanes and returns their final states. A lane that has finished a message gets the
/// next one. When fewer than `fewest` lanes have work, the remaining messages are finished one by one.
fn run<const LANES: usize>(
    variant: Variant,
    messages: &[&[u8]],
    fewest: usize,
    compress: fn(&mut State<LANES>, &[&[u8]; LANES]),
) -> Vec<[u64; 8]> {
    let tails: Vec<Tail> = messages.iter().map(|message| Tail::of(message)).collect();
    let mut waiting = messages.iter().zip(&tails).enumerate().map(|(message, (data, tail))| Lane {
        message,
        rest: &data[..data.len() / BLOCK * BLOCK],
        tail: Some(&tail.bytes[..tail.length]),
    });
    let mut done = vec![[0; 8]; messages.len()];
    let mut state: State<LANES> = [[0; LANES]; 8];
    let mut lanes: [Option<Lane>; LANES] = [const { None }; LANES];
    loop {
        for (index, lane) in lanes.iter_mut().enumerate() {
            advance(lane, &mut done, |word| state[word][index]);
            if lane.is_none() {
                *lane = waiting.next();
                for (words, start) in state.iter_mut().zip(variant.start()) {
                    words[index] = start;
                }
                // A message shorter than a block consists of its tail only.
                advance(lane, &mut done, |word| state[word][index]);
            }
        }
        let busy = lanes.iter().flatten().count();
        if busy < fewest.min(LANES) {
            break;
        }
        let length = lanes.iter().flatten().map(|lane| lane.rest.len()).min().unwrap_or(0);
        // A lane without work repeats the work of another lane, and its result is ignored.
        let Some(some) = lanes.iter().flatten().next().map(|lane| &lane.rest[..length]) else { break };
        let data = lanes.each_ref().map(|lane| lane.as_ref().map_or(some, |lane| &lane.rest[..length]));
        compress(&mut state, &data);
        for lane in lanes.iter_mut().flatten() {
            lane.rest = &lane.rest[length..];
        }
    }
    for (index, lane) in lanes.into_iter().enumerate() {
        if let Some(lane) = lane {
            let mut alone = std::array::from_fn(|word| state[word][index]);
            compress512(&mut alone, lane.rest.as_chunks().0);
            compress512(&mut alone, lane.tail.unwrap_or_default().as_chunks().0);
            done[lane.message] = alone;
        }
    }
    done
}

/// If the current part has ended, goes on to the tail, or stores the final state of the message.
fn advance(lane: &mut Option<Lane>, done: &mut [[u64; 8]], state: impl Fn(usize) -> u64) {
    if let Some(work) = lane
        && work.rest.is_empty()
    {
        match work.tail.take() {
            Some(tail) => work.rest = tail,
            None => {
                done[work.message] = std::array::from_fn(state);
                *lane = None;
            }
        }
    }
}

/// Processes one message with the library.
fn single(state: &mut State<1>, data: &[&[u8]; 1]) {
    let mut alone = state.map(|[word]| word);
    compress512(&mut alone, data[0].as_chunks().0);
    *state = alone.map(|word| [word]);
}

#[cfg(test)]
mod tests;
