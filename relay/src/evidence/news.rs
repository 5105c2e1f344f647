//! News: something that was waited for may be there. Who waits compares what it knew when it last tried.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// More names than this are not remembered one by one: then everything counts as news.
const MOST: usize = 10_000;

/// A count that grows with each piece of news, and what the newest was per name.
#[derive(Debug, Default)]
pub(crate) struct News(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: u64,
    by_name: HashMap<String, u64>,
    of_all: u64,
}

impl News {
    /// There is news of `name`.
    pub(crate) fn tell(&self, name: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let count = state.count;
        if state.by_name.len() >= MOST {
            state.by_name.clear();
            state.of_all = count;
        }
        state.by_name.insert(name.to_owned(), count);
    }

    /// The count now.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Whether there was news of one of `names` after the count was `count`.
    pub(crate) fn since(&self, count: u64, names: &[String]) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = |name: &String| state.by_name.get(name).is_some_and(|told| *told > count);
        state.of_all > count || names.iter().any(newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_hears_of_what_it_waits_for() {
        let news = News::default();
        let (mine, others) = (["a".to_owned()], ["b".to_owned()]);
        let before = news.count();
        news.tell("a");
        assert!(news.since(before, &mine) && !news.since(before, &others));
        assert!(!news.since(news.count(), &mine));
    }
}
