//! Containers of parts in a bucket: read whole and in part, given back, erased, put aside.

use std::ops::Range;

use futures_util::TryStreamExt as _;

use super::super::{Containers, Part, part_key};
use super::*;
use crate::keys::{DataKey, for_tests};
use crate::seal::{HEAD, Seal, places};

const UPLOAD: &str = "0193569a7c0070008000000000000009";
const NAME: &str = "0193569a-7c00-7000-8000-000000000001.1.0193569a7c0070008000000000000009";

/// Puts sealed content as parts of so many segments, and lists them.
async fn parts(objects: &Objects, content: &[u8], sizes: &[u32]) -> PartList {
    let key = DataKey::generate().unwrap();
    let sealed = Seal::new(&key, UPLOAD, CONTAINER).unwrap().whole(content).unwrap();
    let (mut first, mut list) = (0, Vec::new());
    for (name, segments) in (1..).zip(sizes) {
        let after = first + u64::from(*segments);
        let within = places(first..after, content.len() as u64);
        let bytes = sealed[within.start as usize..within.end as usize].to_vec();
        objects.put(&part_key(UPLOAD, name), bytes.into()).await.unwrap();
        list.push(Part {
            name,
            segments: *segments,
        });
        first = after;
    }
    assert!(sealed.starts_with(&HEAD));
    PartList {
        size: content.len() as u64,
        wrapped: for_tests().wrap(&key).unwrap(),
        parts: list,
    }
}

async fn read(containers: &Containers, range: Option<Range<u64>>) -> Result<Vec<u8>, ContainerError> {
    let parts: Vec<Bytes> = containers.open_range(NAME, range).await?.stream.try_collect().await?;
    Ok(parts.concat())
}

#[tokio::test]
async fn parts_are_a_container_that_is_read_from_anywhere_and_erased_without_its_report() {
    let objects = Objects::in_memory();
    let content: Vec<u8> = (0..400_000_u32).map(|at| (at % 251) as u8).collect();
    let list = parts(&objects, &content, &[1, 3, 1, 2]).await;
    let containers = Containers::shared(objects.clone(), for_tests());
    assert!(matches!(read(&containers, None).await, Err(ContainerError::Absent)));
    containers.adopt_parts(&list, NAME).await.unwrap();
    assert_eq!(read(&containers, None).await.unwrap(), content);
    for range in [3..5, 65_530..65_540, 60_000..270_000, 399_999..400_000, 7..7] {
        let found = read(&containers, Some(range.clone())).await.unwrap();
        assert_eq!(found, content[range.start as usize..range.end as usize], "{range:?}");
    }
    // Two relays may put the first file beside it at the same time: one key is made.
    let other = Containers::shared(objects.clone(), for_tests());
    let (report, evidence) = (Bytes::from_static(b"[]"), Bytes::from_static(b"{}"));
    let both = tokio::join!(
        containers.put_beside(NAME, "report.json", report.clone()),
        other.put_beside(NAME, "evidence.json", evidence.clone())
    );
    both.0.and(both.1).unwrap();
    assert_eq!(other.beside(NAME, "report.json").await.unwrap(), report);
    assert_eq!(containers.beside(NAME, "evidence.json").await.unwrap(), evidence);
    assert_eq!(containers.names().await.unwrap(), [NAME]);
    assert!(!containers.drop_parts(UPLOAD).await.unwrap(), "they are a container's");

    containers.erase(NAME).await.unwrap();
    assert!(matches!(containers.erase(NAME).await, Err(ContainerError::Absent)));
    assert!(matches!(read(&other, None).await, Err(ContainerError::Absent)));
    assert!(objects.list(&parts_of(UPLOAD)).await.unwrap().is_empty());
    assert_eq!(other.beside(NAME, "report.json").await.unwrap(), report);
    containers.delete(NAME).await.unwrap();
    assert!(containers.names().await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_lists_of_one_letter_one_erases_both_and_neither_takes_the_others_parts() {
    const SECOND: &str = "0193569a-7c00-7000-8000-000000000001.2.0193569a7c0070008000000000000009";
    let objects = Objects::in_memory();
    let containers = Containers::shared(objects.clone(), for_tests());
    let both = async || {
        // A relay died between list and record, and the client posted its upload again.
        let list = parts(&objects, b"a letter", &[1]).await;
        containers.adopt_parts(&list, SECOND).await.unwrap();
        containers
            .put_beside(SECOND, "report.json", Bytes::new())
            .await
            .unwrap();
        containers.adopt_parts(&list, NAME).await.unwrap();
    };
    both().await;
    containers.erase(NAME).await.unwrap();
    assert!(
        containers.names().await.unwrap().is_empty(),
        "its key is in the second too"
    );
    assert!(objects.list(&parts_of(UPLOAD)).await.unwrap().is_empty());

    both().await;
    containers.delete(SECOND).await.unwrap();
    assert_eq!(read(&containers, None).await.unwrap(), b"a letter");
    containers.delete(NAME).await.unwrap();
    assert!(objects.list(&parts_of(UPLOAD)).await.unwrap().is_empty());

    both().await;
    containers.put_aside(SECOND).await.unwrap();
    let aside = containers.orphans().await.unwrap();
    assert_eq!(aside.iter().map(|(name, _)| name).collect::<Vec<_>>(), [SECOND]);
    containers.drop_aside(SECOND).await.unwrap();
    assert!(containers.orphans().await.unwrap().is_empty());
    assert_eq!(read(&containers, None).await.unwrap(), b"a letter");
    containers.put_aside(NAME).await.unwrap();
    containers.drop_aside(NAME).await.unwrap();
    assert!(objects.list(&Key::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_given_back_or_put_aside_keeps_its_parts() {
    let objects = Objects::in_memory();
    let list = parts(&objects, b"a letter", &[1]).await;
    let containers = Containers::shared(objects.clone(), for_tests());
    for _ in 0..2 {
        containers.adopt_parts(&list, NAME).await.unwrap();
        containers.put_beside(NAME, "report.json", Bytes::new()).await.unwrap();
        assert_eq!(read(&containers, None).await.unwrap(), b"a letter");
        containers.give_back_parts(NAME).await.unwrap();
        assert!(containers.names().await.unwrap().is_empty());
    }
    containers.adopt_parts(&list, NAME).await.unwrap();
    containers.put_aside(NAME).await.unwrap();
    assert!(matches!(read(&containers, None).await, Err(ContainerError::Absent)));
    assert_eq!(objects.list(&parts_of(UPLOAD)).await.unwrap().len(), 1);
    assert_eq!(objects.list(&Key::from(ASIDE)).await.unwrap().len(), 1);
    assert!(containers.drop_parts(UPLOAD).await.unwrap());
    assert!(objects.list(&parts_of(UPLOAD)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_part_that_was_changed_exchanged_or_lost_is_not_served() {
    let objects = Objects::in_memory();
    let content = vec![7; 200_000];
    let list = parts(&objects, &content, &[2, 2]).await;
    let containers = Containers::shared(objects.clone(), for_tests());
    containers.adopt_parts(&list, NAME).await.unwrap();
    let exchanged = PartList {
        parts: list.parts.iter().rev().copied().collect(),
        ..list.clone()
    };
    containers.adopt_parts(&exchanged, NAME).await.unwrap();
    assert!(read(&containers, None).await.is_err());
    containers.adopt_parts(&list, NAME).await.unwrap();
    assert_eq!(read(&containers, None).await.unwrap(), content);
    let key = part_key(UPLOAD, 2);
    let mut part = objects.whole(&key, 1 << 20).await.unwrap().to_vec();
    part[100] ^= 1;
    objects.put(&key, part.into()).await.unwrap();
    assert!(read(&containers, None).await.is_err());
    objects.remove(&key).await.unwrap();
    assert!(read(&containers, None).await.is_err());
    assert_eq!(read(&containers, Some(0..100)).await.unwrap(), vec![7; 100]);
}
