//! A machine's identity: an Ed25519 key, shown in TLS as a raw public key (RFC 7250), without certificates or names.
//!
//! TLS proves that the other side holds the key it shows. Whether that key is welcome is decided above.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::{Error, Result};

/// Bytes of a public key, and of the seed of a private one.
pub const KEY_BYTES: usize = 32;
/// A public key.
pub type PublicKey = [u8; KEY_BYTES];

/// DER of an Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The private key of this machine. It is never shown.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    public: PublicKey,
    /// Made of the seed, for secrets of endpoints.
    deriving: hmac::Key,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Identity")
    }
}

impl Identity {
    /// The identity of a seed (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Result<Self> {
        let refused = || Error::Parameter("identity: the key cannot be used".into());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| refused())?;
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| refused())?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_ref()));
        let signing = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(match &private {
            PrivateKeyDer::Pkcs8(key) => key,
            _ => return Err(refused()),
        })
        .map_err(|_| refused())?;
        let certificate = CertificateDer::from(spki(&public));
        let deriving = hmac::Key::new(hmac::HMAC_SHA256, seed);
        Ok(Self { certified: Arc::new(CertifiedKey::new(vec![certificate], signing)), public, deriving })
    }

    /// Its public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A secret for the endpoint on `port`: the same after a restart, and another on each port.
    pub(crate) fn endpoint_secret(&self, port: u16) -> [u8; 32] {
        let context = [b"warp-portal 2026-11 quic endpoint v1".as_slice(), &port.to_le_bytes()].concat();
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&self.deriving, &context).as_ref());
        secret
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

fn spki(key: &PublicKey) -> Vec<u8> {
    [&SPKI_PREFIX[..], key].concat()
}

/// The key in what a peer showed; only Ed25519 is taken.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    certificate.as_ref().strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// Takes any Ed25519 raw public key, or one only, and checks that the peer holds its private half.
#[derive(Debug)]
pub(crate) struct RawKeyVerifier {
    expected: Option<PublicKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    pub fn new(expected: Option<PublicKey>, provider: &CryptoProvider) -> Self {
        Self { expected, algorithms: provider.signature_verification_algorithms }
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> std::result::Result<(), rustls::Error> {
        let known = key_of(certificate).filter(|_| others.is_empty());
        let key = known.ok_or(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match self.expected {
            Some(expected) if expected != key => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(certificate.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

/// TLS 1.2 is not compiled in; a caller that gets here has found a way around that.
fn no_tls12() -> rustls::Error {
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered)
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
