//! The child in which the tests run a check. Its arithmetic is that of the toy plugins: a signature
//! is the message XOR the one byte of the key.

fn main() -> std::io::Result<()> {
    hallmark_plugin_api::conformance::answer(|_, key, message, signature| {
        let mask = key.first().copied().unwrap_or_default();
        message.len() == signature.len()
            && message.iter().zip(signature).all(|(byte, signed)| byte ^ mask == *signed)
    })
}
