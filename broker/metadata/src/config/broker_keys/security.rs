//! Broker keys. Authentication, authorization and TLS. None of it works yet, so all of it is refused when set.
//!
//! Names, types, defaults, bounds and update modes are those of Apache Kafka 4.3 (`KafkaConfig`); the words are ours.
//! A table, not code: `config::broker_keys` looks keys up in it.

use crate::config::key::keys;
use crate::config::reasons::{NO_ACL, NO_EFFECT_SASL, NO_PROVIDERS, NO_SASL, NO_SECURITY, NO_TLS};

keys! { SECURITY

    // General.
    "authorizer.class.name": Str = "", Any, ReadOnly, Refused(NO_ACL),
        "Class that decides who may do what.";
    "principal.builder.class": Class =
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any, PerBroker, Refused(NO_SECURITY),
        "Class that names the principal of a connection.";
    "security.providers": Str = null, Any, ReadOnly, Refused(NO_SECURITY),
        "Java security providers.";
    "connections.max.reauth.ms": Long = "0", Any, ReadOnly, Refused(NO_SASL),
        "How long a SASL session lasts before the client has to authenticate again.";
    "config.providers": List = "", Any, ClusterWide, Refused(NO_PROVIDERS),
        "Sources that values of other keys may refer to.";
    "delegation.token.expiry.check.interval.ms": Long = "3600000", AtLeast(1), ReadOnly, Ignored(NO_EFFECT_SASL),
        "How often expired delegation tokens are looked for.";
    "delegation.token.expiry.time.ms": Long = "86400000", AtLeast(1), ReadOnly, Ignored(NO_EFFECT_SASL),
        "How long a delegation token is valid before it has to be renewed.";
    "delegation.token.max.lifetime.ms": Long = "604800000", AtLeast(1), ReadOnly, Ignored(NO_EFFECT_SASL),
        "How long a delegation token can be renewed.";
    "delegation.token.secret.key": Password = null, Any, ReadOnly, Refused(NO_SASL),
        "Secret that signs delegation tokens.";

    // Sasl.
    "sasl.client.callback.handler.class": Class = null, Any, ReadOnly, Refused(NO_SASL),
        "Class that answers for this broker as a SASL client.";
    "sasl.enabled.mechanisms": List = "GSSAPI", Any, PerBroker, Refused(NO_SASL),
        "SASL mechanisms that clients may use.";
    "sasl.jaas.config": Password = null, Any, PerBroker, Refused(NO_SASL),
        "Login of the SASL listeners in JAAS form.";
    "sasl.kerberos.kinit.cmd": Str = "/usr/bin/kinit", Any, PerBroker, Refused(NO_SASL),
        "Path of kinit.";
    "sasl.kerberos.min.time.before.relogin": Long = "60000", Any, PerBroker, Refused(NO_SASL),
        "Pause between two refreshes of the Kerberos ticket.";
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT", Any, PerBroker, Refused(NO_SASL),
        "Rules that turn Kerberos principals into short names.";
    "sasl.kerberos.service.name": Str = null, Any, PerBroker, Refused(NO_SASL),
        "Kerberos name of the service.";
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05", Any, PerBroker, Refused(NO_SASL),
        "Random part of the ticket's renewal time.";
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8", Any, PerBroker, Refused(NO_SASL),
        "Share of the ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class": Class = null, Any, ReadOnly, Refused(NO_SASL),
        "Class that answers during login.";
    "sasl.login.class": Class = null, Any, ReadOnly, Refused(NO_SASL),
        "Class that performs the login.";
    "sasl.login.connect.timeout.ms": Int = null, Any, ReadOnly, Refused(NO_SASL),
        "How long a connection to an identity provider may take.";
    "sasl.login.read.timeout.ms": Int = null, Any, ReadOnly, Refused(NO_SASL),
        "How long an answer of an identity provider may take.";
    "sasl.login.refresh.buffer.seconds": Short = "300", Any, PerBroker, Refused(NO_SASL),
        "How long before its end a credential is refreshed at the latest.";
    "sasl.login.refresh.min.period.seconds": Short = "60", Any, PerBroker, Refused(NO_SASL),
        "Pause between two refreshes of a credential.";
    "sasl.login.refresh.window.factor": Double = "0.8", Any, PerBroker, Refused(NO_SASL),
        "Share of a credential's life after which it is refreshed.";
    "sasl.login.refresh.window.jitter": Double = "0.05", Any, PerBroker, Refused(NO_SASL),
        "Random part of a credential's refresh time.";
    "sasl.login.retry.backoff.max.ms": Long = "10000", Any, ReadOnly, Refused(NO_SASL),
        "Longest pause between attempts to log in.";
    "sasl.login.retry.backoff.ms": Long = "100", Any, ReadOnly, Refused(NO_SASL),
        "First pause between attempts to log in.";
    "sasl.mechanism.controller.protocol": Str = "GSSAPI", Any, ReadOnly, Refused(NO_SASL),
        "SASL mechanism between brokers and controllers.";
    "sasl.mechanism.inter.broker.protocol": Str = "GSSAPI", Any, PerBroker, Refused(NO_SASL),
        "SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm": Str =
        "RS256", OneOfIgnoreCase(&["ES256", "RS256"]), ReadOnly, Refused(NO_SASL),
        "Algorithm that signs assertions.";
    "sasl.oauthbearer.assertion.claim.aud": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Audience claim of assertions.";
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300", Between(0, 86_400), ReadOnly, Refused(NO_SASL),
        "How long an assertion is valid.";
    "sasl.oauthbearer.assertion.claim.iss": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Issuer claim of assertions.";
    "sasl.oauthbearer.assertion.claim.jti.include": Bool = "false", Any, ReadOnly, Refused(NO_SASL),
        "Whether assertions carry an id of their own.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60", Between(0, 3600), ReadOnly, Refused(NO_SASL),
        "How far back the validity of an assertion begins.";
    "sasl.oauthbearer.assertion.claim.sub": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Subject claim of assertions.";
    "sasl.oauthbearer.assertion.file": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "File with a ready-made assertion.";
    "sasl.oauthbearer.assertion.private.key.file": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "File with the key that signs assertions.";
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null, Any, ReadOnly, Refused(NO_SASL),
        "Passphrase of that key.";
    "sasl.oauthbearer.assertion.template.file": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "File with further claims of assertions.";
    "sasl.oauthbearer.client.credentials.client.id": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Client id for the OAuth client credentials grant.";
    "sasl.oauthbearer.client.credentials.client.secret": Password = null, Any, ReadOnly, Refused(NO_SASL),
        "Secret of that client.";
    "sasl.oauthbearer.clock.skew.seconds": Int = "30", Any, ReadOnly, Refused(NO_SASL),
        "Difference of clocks that is tolerated when tokens are checked.";
    "sasl.oauthbearer.expected.audience": List = "", Any, ReadOnly, Refused(NO_SASL),
        "Audiences of which a token must name one.";
    "sasl.oauthbearer.expected.issuer": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Issuer that a token must name.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000", Any, ReadOnly, Refused(NO_SASL),
        "How often the keys of the identity provider are fetched again.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000", Any, ReadOnly, Refused(NO_SASL),
        "Longest pause between attempts to fetch those keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100", Any, ReadOnly, Refused(NO_SASL),
        "First pause between attempts to fetch those keys.";
    "sasl.oauthbearer.jwks.endpoint.url": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Where the keys of the identity provider are.";
    "sasl.oauthbearer.jwt.retriever.class": Class =
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Any, ReadOnly, Refused(NO_SASL),
        "Class that obtains tokens.";
    "sasl.oauthbearer.jwt.validator.class": Class =
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Any, ReadOnly, Refused(NO_SASL),
        "Class that checks tokens.";
    "sasl.oauthbearer.scope": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Scope asked for with a token.";
    "sasl.oauthbearer.scope.claim.name": Str = "scope", Any, ReadOnly, Refused(NO_SASL),
        "Name of the claim that holds the scope.";
    "sasl.oauthbearer.sub.claim.name": Str = "sub", Any, ReadOnly, Refused(NO_SASL),
        "Name of the claim that holds the subject.";
    "sasl.oauthbearer.token.endpoint.url": Str = null, Any, ReadOnly, Refused(NO_SASL),
        "Where tokens are issued.";
    "sasl.server.callback.handler.class": Class = null, Any, ReadOnly, Refused(NO_SASL),
        "Class that checks credentials of clients.";
    "sasl.server.max.receive.size": Int = "524288", Any, ReadOnly, Refused(NO_SASL),
        "Largest SASL message accepted before a client is authenticated.";

    // Ssl.
    "ssl.allow.dn.changes": Bool = "false", Any, ReadOnly, Refused(NO_TLS),
        "Whether a new certificate may carry another distinguished name.";
    "ssl.allow.san.changes": Bool = "false", Any, ReadOnly, Refused(NO_TLS),
        "Whether a new certificate may carry other alternative names.";
    "ssl.cipher.suites": List = "", Any, PerBroker, Refused(NO_TLS),
        "Cipher suites that may be used.";
    "ssl.client.auth": Str = "none", OneOf(&["required", "requested", "none"]), PerBroker, Refused(NO_TLS),
        "Whether clients have to show a certificate.";
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3", Any, PerBroker, Refused(NO_TLS),
        "TLS versions that may be used.";
    "ssl.endpoint.identification.algorithm": Str = "https", Any, PerBroker, Refused(NO_TLS),
        "How host names in certificates are checked.";
    "ssl.engine.factory.class": Class = null, Any, PerBroker, Refused(NO_TLS),
        "Class that makes TLS engines.";
    "ssl.key.password": Password = null, Any, PerBroker, Refused(NO_TLS),
        "Password of the private key.";
    "ssl.keymanager.algorithm": Str = "SunX509", Any, PerBroker, Refused(NO_TLS),
        "Java's key manager algorithm.";
    "ssl.keystore.certificate.chain": Password = null, Any, PerBroker, Refused(NO_TLS),
        "Certificate chain in PEM.";
    "ssl.keystore.key": Password = null, Any, PerBroker, Refused(NO_TLS),
        "Private key in PEM.";
    "ssl.keystore.location": Str = null, Any, PerBroker, Refused(NO_TLS),
        "File with the private key and its certificates.";
    "ssl.keystore.password": Password = null, Any, PerBroker, Refused(NO_TLS),
        "Password of that file.";
    "ssl.keystore.type": Str = "JKS", Any, PerBroker, Refused(NO_TLS),
        "Format of that file.";
    "ssl.principal.mapping.rules": Str = "DEFAULT", Any, ReadOnly, Refused(NO_TLS),
        "Rules that turn distinguished names into short names.";
    "ssl.protocol": Str = "TLSv1.3", Any, PerBroker, Refused(NO_TLS),
        "Java's TLS context.";
    "ssl.provider": Str = null, Any, PerBroker, Refused(NO_TLS),
        "Java's TLS provider.";
    "ssl.secure.random.implementation": Str = null, Any, PerBroker, Refused(NO_TLS),
        "Java's source of randomness for TLS.";
    "ssl.trustmanager.algorithm": Str = "PKIX", Any, PerBroker, Refused(NO_TLS),
        "Java's trust manager algorithm.";
    "ssl.truststore.certificates": Password = null, Any, PerBroker, Refused(NO_TLS),
        "Trusted certificates in PEM.";
    "ssl.truststore.location": Str = null, Any, PerBroker, Refused(NO_TLS),
        "File with the trusted certificates.";
    "ssl.truststore.password": Password = null, Any, PerBroker, Refused(NO_TLS),
        "Password of that file.";
    "ssl.truststore.type": Str = "JKS", Any, PerBroker, Refused(NO_TLS),
        "Format of that file.";
}
