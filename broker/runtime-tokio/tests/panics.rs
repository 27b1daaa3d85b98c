//! A panic anywhere in a shard ends it: nobody goes on with half a node.

use barnabas_runtime_tokio::{NodeConfig, block_on_single};

fn config() -> NodeConfig {
    NodeConfig::new("panics", 1)
}

#[test]
#[should_panic(expected = "a task broke")]
fn of_a_task() {
    let main = async |env: barnabas_runtime::Env| {
        env.spawn("broken", async { panic!("a task broke") }).detach();
        std::future::pending::<()>().await;
    };
    block_on_single(&config(), main).expect("a shard starts");
}

#[test]
#[should_panic(expected = "a job broke")]
fn of_an_offloaded_job() {
    let main = async |env: barnabas_runtime::Env| {
        let inner = env.clone();
        env.spawn_detached("offloads", async move { inner.offload(|| panic!("a job broke")).await });
        std::future::pending::<()>().await;
    };
    block_on_single(&config(), main).expect("a shard starts");
}

#[test]
fn a_value_comes_back_and_what_was_begun_ends() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("begun-{}", std::process::id()));
    let begun = path.clone();
    let value = block_on_single(&config(), async move |env| {
        let mut create = env.disk.create_dir_all(&begun);
        std::future::poll_fn(|context| {
            let _ = create.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
        7
    });
    assert_eq!(value.expect("a shard starts"), 7);
    std::fs::remove_dir(&path).expect("an operation that was begun has ended with the node");
}
