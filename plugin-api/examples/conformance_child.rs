//! The child in which the tests run a check. Its arithmetic is that of the toy plugins: a signature
//! is the message XOR the one byte of the key, and in `tests/broken` one byte more.

fn main() -> std::io::Result<()> {
    hallmark_plugin_api::conformance::answer(|_, key, message, signature| {
        let mask = key.first().copied().unwrap_or_default();
        let signed: Vec<u8> = message.iter().map(|byte| byte ^ mask).collect();
        signature == signed || signature == [&signed[..], &[mask ^ 0x5A]].concat()
    })
}
