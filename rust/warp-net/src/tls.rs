//! TLS 1.3 of both carriers: mutual raw public keys, hybrid post-quantum key exchange first, no resumption, no 0-RTT.

use std::sync::Arc;

use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::{AlertDescription, ClientConfig, ServerConfig};

use crate::identity::{Identity, PublicKey, RawKeyVerifier};
use crate::{Error, Result};

/// What both sides must speak; an incompatible change has another name.
pub const ALPN: &[u8] = b"warp/1";
/// Label of the secret that binds what is said above TLS to this connection (RFC 8446 §7.5).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-warp-portal session";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        cipher_suites: suites().to_vec(),
        ..default_provider()
    })
}

/// AES first where the processor has instructions for it, as it is three times as fast there.
fn suites() -> [rustls::SupportedCipherSuite; 3] {
    let aes = cipher_suite::TLS13_AES_128_GCM_SHA256;
    let strong = cipher_suite::TLS13_AES_256_GCM_SHA384;
    let chacha = cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    if has_aes() { [aes, strong, chacha] } else { [chacha, aes, strong] }
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// Configuration of the side that dials: it takes `expected` alone, or any key if that is None.
pub(crate) fn dialer(identity: &Identity, expected: Option<PublicKey>) -> Result<ClientConfig> {
    let provider = provider();
    let verifier = Arc::new(RawKeyVerifier::new(expected, &provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::Parameter(format!("TLS: {error}")))?
        .dangerous() // what rustls calls any verifier but its own; ours checks a raw key (see `identity`)
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity.certified())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Configuration of the side that listens: it takes any key, and the session decides.
pub(crate) fn listener(identity: &Identity) -> Result<ServerConfig> {
    let provider = provider();
    let verifier = Arc::new(RawKeyVerifier::new(None, &provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::Parameter(format!("TLS: {error}")))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.certified())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// What a handshake that failed with this alert (RFC 8446 §6.2) means. `who` found it.
pub(crate) fn failed(alert: u8, who: &str, detail: impl ToString) -> Error {
    match alert {
        // Only our own check of a key gives this (access_denied).
        49 => Error::Identity("it holds another key than the one expected".into()),
        // Of certificates, which here are keys, and of the signature by which they are proved (decrypt_error).
        42..=46 | 48 | 51 | 116 => Error::Identity(format!("{who} refused: {}", detail.to_string())),
        _ => Error::protocol(format!("TLS: {who} refused: {}", detail.to_string())),
    }
}

/// The same from what rustls says.
pub(crate) fn failure(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::AlertReceived(alert) => failed((*alert).into(), "the other side", error),
        rustls::Error::InvalidCertificate(reason) => {
            failed(AlertDescription::from(reason.clone()).into(), "this side", error)
        }
        rustls::Error::NoCertificatesPresented => Error::Identity("it showed no key".into()),
        _ => Error::protocol(format!("TLS: {error}")),
    }
}
