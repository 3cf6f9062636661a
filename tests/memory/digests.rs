//! Images that nobody has asked about before.

use hallmark_tests::client::Client;
use hallmark_tests::project::image;
use serde_json::json;
use tokio::task::JoinSet;

/// Images of one request, requests of one stream, and streams at once.
const IMAGES: usize = 100;
const LINES: usize = 10;
const STREAMS: usize = 4;

/// Asks about so many digests, each once.
pub(crate) async fn ask(client: &Client, count: usize) {
    let mut streams = JoinSet::new();
    for from in (0..count).step_by(IMAGES * LINES) {
        if streams.len() == STREAMS {
            streams.join_next().await.expect("one").expect("a stream ends");
        }
        let client = client.clone();
        let until = count.min(from + IMAGES * LINES);
        streams.spawn(async move { ask_about(&client, from..until).await });
    }
    while let Some(ended) = streams.join_next().await {
        ended.expect("a stream ends");
    }
}

async fn ask_about(client: &Client, numbers: std::ops::Range<usize>) {
    let images: Vec<_> = numbers.map(|number| image(&format!("unique {number}"))).collect();
    let request = |images: &[String]| json!({"project": "p", "images": images});
    let requests: Vec<_> = images.chunks(IMAGES).map(request).collect();
    let answers = client.stream(&requests).await;
    assert_eq!(answers.len(), requests.len());
    for answer in answers {
        assert_eq!(answer["allowed"], false, "{answer}");
    }
}
