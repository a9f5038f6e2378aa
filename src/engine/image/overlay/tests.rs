//! Compares the overlay with a plain copy in memory.

use super::*;

const SIZE: u64 = 40 * PAGE + 123;

fn base_image() -> Vec<u8> {
    (0..SIZE).map(|at| (at / 7 % 251) as u8 + 1).collect()
}

/// The data that a reader gets.
fn seen(overlay: &Overlay, base: &[u8]) -> Vec<u8> {
    let mut all = vec![0; SIZE as usize];
    for range in overlay.read(0, &mut all).expect("read") {
        let range = range.start as usize..range.end as usize;
        all[range.clone()].copy_from_slice(&base[range]);
    }
    all
}

#[test]
fn writes_and_zeros_of_any_alignment_are_as_on_a_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let overlay = Overlay::create(folder.path(), SIZE).expect("made");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0, "it has no name");
    let base = base_image();
    let read_base = |at: u64, buffer: &mut [u8]| {
        buffer.copy_from_slice(&base[at as usize..at as usize + buffer.len()]);
        Ok(())
    };
    let mut model = base.clone();
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..500u64 {
        let start = random.u64(0..SIZE);
        let most = if round % 3 == 0 { 5 * PAGE } else { 700 };
        let end = (start + random.u64(1..=most)).min(SIZE);
        let range = start as usize..end as usize;
        if round % 4 == 1 {
            overlay.zero(start..end, &read_base).expect("zeroed");
            model[range].fill(0);
        } else {
            let data = vec![round as u8; range.len()];
            overlay.write(start, &data, &read_base).expect("written");
            model[range].copy_from_slice(&data);
        }
        if round % 20 == 0 {
            assert!(seen(&overlay, &base) == model, "round {round}");
        }
    }
    assert!(seen(&overlay, &base) == model);
}

#[test]
fn whole_pages_need_no_base() {
    let folder = tempfile::tempdir().expect("a folder");
    let overlay = Overlay::create(folder.path(), SIZE).expect("made");
    let bad = |_: u64, _: &mut [u8]| Err(Fault::Data("bad".into()));
    overlay.write(PAGE, &vec![1; 2 * PAGE as usize], &bad).expect("whole pages");
    overlay.write(40 * PAGE, &[2; 123], &bad).expect("the last page is shorter");
    overlay.zero(10 * PAGE..20 * PAGE, &bad).expect("whole pages");
    assert!(matches!(overlay.write(5 * PAGE, &[1], &bad), Err(Fault::Data(_))));
    overlay.write(PAGE + 5, &[3], &bad).expect("it holds the page");
    assert!(!overlay.holds_any(3 * PAGE..10 * PAGE), "pages of a failed write are not held");
    let states: Vec<_> = [PAGE, 10 * PAGE, 20 * PAGE, 40 * PAGE].map(|at| overlay.state(at..SIZE)).to_vec();
    assert_eq!(
        states,
        [(Held::Data, 3 * PAGE), (Held::Zero, 20 * PAGE), (Held::No, 40 * PAGE), (Held::Data, SIZE)]
    );
}

#[test]
fn concurrent_writers_of_parts_of_a_page_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let overlay = Overlay::create(folder.path(), SIZE).expect("made");
    let base = |_: u64, buffer: &mut [u8]| {
        buffer.fill(9);
        Ok(())
    };
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let overlay = &overlay;
            scope.spawn(move || {
                for page in 0..40 {
                    overlay.write(page * PAGE + thread * 512, &[thread as u8; 256], &base).expect("written");
                }
            });
        }
    });
    let mut all = vec![0; 40 * PAGE as usize];
    assert!(overlay.read(0, &mut all).expect("read").is_empty());
    for (at, byte) in all.iter().enumerate() {
        let (thread, within) = (at % PAGE as usize / 512, at % 512);
        assert_eq!(*byte, if within < 256 { thread as u8 } else { 9 }, "{at}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error() {
    assert!(Overlay::create(Path::new("/nonexistent"), SIZE).is_err());
}
