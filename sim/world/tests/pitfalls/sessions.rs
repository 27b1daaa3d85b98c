//! Pitfall 19: fetch sessions, over the wire.

use barnabas_base::Uuid;
use barnabas_sim_world::{requests, with_broker};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::fetch::ForgottenTopic;
use barnabas_wire::message::*;

use crate::{FETCH, append, fetched, is, records, topic};

/// A request of an open session that adds nothing to it.
fn resumed(session_id: i32, session_epoch: i32) -> FetchRequest {
    FetchRequest { session_id, session_epoch, topics: Vec::new(), ..requests::fetch("t", 0, 0) }
}

fn opening() -> FetchRequest {
    let mut request = FetchRequest { session_id: 0, session_epoch: 0, ..requests::fetch("t", 0, 0) };
    for index in [1, 2] {
        let more = requests::fetch("t", index, 0).topics[0].partitions[0];
        request.topics[0].partitions.push(more);
    }
    request
}

#[test]
fn pitfall_19_a_session_answers_only_what_changed() {
    with_broker(1, &[], async |_, mut client| {
        topic(&mut client, "t", 3).await;
        let opened = client.call(FETCH, opening()).await;
        assert_ne!(opened.session_id, 0);
        assert_eq!(opened.responses[0].partitions.len(), 3, "the first answer is full");
        let nothing = client.call(FETCH, resumed(opened.session_id, 1)).await;
        assert_eq!((nothing.session_id, nothing.responses.len()), (opened.session_id, 0));
        append(&mut client, "t", b"a").await;
        let news = client.call(FETCH, resumed(opened.session_id, 2)).await;
        assert_eq!(news.responses[0].partitions.len(), 1, "{news:?}");
        assert_eq!(records(fetched(&news)), [(0, b"a".to_vec())]);
        // The reader moves on by naming the partition again.
        let mut moved = resumed(opened.session_id, 3);
        moved.topics = requests::fetch("t", 0, 1).topics;
        assert!(client.call(FETCH, moved).await.responses.is_empty());
        let mut forgetful = resumed(opened.session_id, 4);
        forgetful.forgotten_topics_data =
            vec![ForgottenTopic { topic: "t".to_owned(), topic_id: Uuid::ZERO, partitions: vec![0] }];
        assert!(client.call(FETCH, forgetful).await.responses.is_empty());
        append(&mut client, "t", b"b").await;
        assert!(client.call(FETCH, resumed(opened.session_id, 5)).await.responses.is_empty(), "it was forgotten");
        let closing = client.call(FETCH, FetchRequest { session_epoch: -1, ..resumed(opened.session_id, 0) }).await;
        assert_eq!((closing.error_code, closing.session_id), (0, 0));
        let gone = client.call(FETCH, resumed(opened.session_id, 6)).await;
        assert!(is(gone.error_code, ErrorCode::FetchSessionIdNotFound), "{gone:?}");
    });
}

#[test]
fn pitfall_19_wrong_sessions_are_refused_as_a_whole() {
    with_broker(2, &[], async |_, mut client| {
        let id = topic(&mut client, "t", 3).await;
        let opened = client.call(FETCH, opening()).await.session_id;
        for (request, version, code) in [
            (resumed(opened, 2), FETCH, ErrorCode::InvalidFetchSessionEpoch),
            (resumed(opened ^ 0x1_0000, 1), FETCH, ErrorCode::FetchSessionIdNotFound),
            (resumed(0, 1), FETCH, ErrorCode::FetchSessionIdNotFound),
            (resumed(opened, 1), 13, ErrorCode::FetchSessionTopicIdError),
        ] {
            let answer = client.call(version, request).await;
            assert!(is(answer.error_code, code), "{} is due: {answer:?}", code.name());
            assert!(answer.responses.is_empty(), "{answer:?}");
        }
        // The same by id, and a topic that is not there stays in the session as an error.
        let mut request = opening();
        request.topics[0].topic_id = id;
        request.topics.extend(requests::fetch_by_id(Uuid([5; 16]), 0, 0).topics);
        let opened = client.call(13, request).await;
        assert_eq!(opened.responses.len(), 2, "{opened:?}");
        let again = client.call(13, resumed(opened.session_id, 1)).await;
        assert_eq!(again.responses.len(), 1, "{again:?}");
        assert!(is(again.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId));
    });
}

#[test]
fn pitfall_19_no_session_is_given_when_there_is_no_room() {
    let no_room = [("max.incremental.fetch.session.cache.slots", "1")];
    with_broker(3, &no_room, async |visitor, mut client| {
        topic(&mut client, "t", 3).await;
        let first = client.call(FETCH, opening()).await.session_id;
        assert_ne!(first, 0);
        let mut refused = 0;
        for _ in 0..4 {
            let mut other = visitor.connect().await;
            let answer = other.call(FETCH, opening()).await;
            assert_eq!(answer.error_code, 0);
            refused += i32::from(answer.session_id == 0);
        }
        assert!(refused >= 3, "one slot a shard, {refused} of 4 were refused");
        assert_eq!(client.call(FETCH, resumed(first, 1)).await.error_code, 0, "the first one lives on");
    });
}
