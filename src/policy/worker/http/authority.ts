/** The certificate authority that the proxy looks into TLS with: one of the node's, or one made here, whose key is nowhere else. */

import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import * as asn1 from 'asn1js'
import * as pki from 'pkijs'
import { parsePrefix } from '../../prefix.ts'

type Key = webcrypto.CryptoKey

// RFC 5280 4.2.1
const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const
/** Bits of keyUsage as they lie in their first byte. */
const USAGE = { digitalSignature: 0x80, signCertificates: 0x04, signLists: 0x02 } as const
const NAME = { dns: 2, address: 7 } as const

const DAY_MS = 86_400_000
/** Clocks of containers are their node's, of whoever reads a log they may not be. */
const BACKDATED_MS = 3_600_000
const AUTHORITY_DAYS = 3650
/** As long as the strictest clients take. */
const LEAF_DAYS = 90
const RENEWED_MS = 30 * DAY_MS
const LEAVES_MAX = 1024
const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const

const pem = (label: string, der: ArrayBuffer): string => {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

const extension = (
  extnID: string,
  value: { toSchema(): { toBER(): ArrayBuffer } } | { toBER(): ArrayBuffer },
  critical = false,
) => new pki.Extension({ extnID, critical, extnValue: ('toSchema' in value ? value.toSchema() : value).toBER() })

const usage = (bits: number): asn1.BitString => new asn1.BitString({ valueHex: Uint8Array.of(bits).buffer })

const named = (text: string): pki.RelativeDistinguishedNames =>
  new pki.RelativeDistinguishedNames({
    typesAndValues: [
      new pki.AttributeTypeAndValue({ type: OID.commonName, value: new asn1.Utf8String({ value: text }) }),
    ],
  })

const certificate = (days: number): pki.Certificate => {
  const made = new pki.Certificate()
  const now = Date.now()
  made.version = 2
  // Positive, and no leading zeros to be argued about.
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  made.serialNumber = new asn1.Integer({ valueHex: Uint8Array.from(serial).buffer })
  made.notBefore.value = new Date(now - BACKDATED_MS)
  made.notAfter.value = new Date(now + days * DAY_MS)
  made.extensions = []
  return made
}

const identifierOf = async (key: Key): Promise<asn1.OctetString> => {
  const spki = await webcrypto.subtle.exportKey('spki', key)
  return new asn1.OctetString({ valueHex: (await webcrypto.subtle.digest('SHA-256', spki)).slice(0, 20) })
}

interface Signer {
  readonly certificate: pki.Certificate
  readonly key: Key
}

const makeSigner = async (): Promise<Signer> => {
  const { privateKey, publicKey } = await webcrypto.subtle.generateKey(P256, false, ['sign', 'verify'])
  const made = certificate(AUTHORITY_DAYS)
  made.subject = named('berth: requests of this container')
  made.issuer = made.subject
  await made.subjectPublicKeyInfo.importKey(publicKey)
  made.extensions = [
    extension(OID.basicConstraints, new pki.BasicConstraints({ cA: true, pathLenConstraint: 0 }), true),
    extension(OID.keyUsage, usage(USAGE.signCertificates | USAGE.signLists), true),
    extension(OID.subjectKeyIdentifier, await identifierOf(publicKey)),
  ]
  await made.sign(privateKey, 'SHA-256')
  return { certificate: made, key: privateKey }
}

const readSigner = async (certificatePem: string, keyPem: string): Promise<Signer> => {
  const x509 = new X509Certificate(certificatePem)
  if (!x509.ca) throw new Error("http.ca: the certificate is no certificate authority's")
  const key = createPrivateKey(keyPem)
  if (!x509.checkPrivateKey(key)) throw new Error('http.ca: the key is not that of the certificate')
  const algorithm =
    key.asymmetricKeyType === 'ec'
      ? { name: 'ECDSA', namedCurve: CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 'P-256' }
      : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  return {
    certificate: pki.Certificate.fromBER(Uint8Array.from(x509.raw).buffer),
    key: await webcrypto.subtle.importKey('pkcs8', Uint8Array.from(pkcs8), algorithm, false, ['sign']),
  }
}
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

const alternative = (host: string): pki.GeneralName =>
  isIP(host) === 0
    ? new pki.GeneralName({ type: NAME.dns, value: host })
    : new pki.GeneralName({
        type: NAME.address,
        value: new asn1.OctetString({ valueHex: Uint8Array.from(parsePrefix(host)?.address ?? []).buffer }),
      })

interface Leaf {
  readonly made: number
  readonly context: Promise<SecureContext>
}

export class Authority {
  readonly #signer: Signer
  readonly #leafKeys: webcrypto.CryptoKeyPair
  readonly #leafKeyPem: string
  readonly #leaves = new Map<string, Leaf>()

  private constructor(signer: Signer, leafKeys: webcrypto.CryptoKeyPair, leafKeyPem: string) {
    this.#signer = signer
    this.#leafKeys = leafKeys
    this.#leafKeyPem = leafKeyPem
  }

  /** Throws where what is given is no certificate authority. */
  static async open(given: { readonly certificate: string; readonly key: string } | undefined): Promise<Authority> {
    const signer = given ? await readSigner(given.certificate, given.key) : await makeSigner()
    const leafKeys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
    const leafKeyPem = pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey))
    return new Authority(signer, leafKeys, leafKeyPem)
  }

  /** What clients have to trust. */
  get certificate(): string {
    return pem('CERTIFICATE', this.#signer.certificate.toSchema().toBER())
  }

  /** To be the server of this name with. */
  contextFor(host: string): Promise<SecureContext> {
    const known = this.#leaves.get(host)
    if (known && Date.now() - known.made < RENEWED_MS) return known.context
    this.#leaves.delete(host)
    if (this.#leaves.size >= LEAVES_MAX) this.#leaves.delete(this.#leaves.keys().next().value ?? '')
    const context = this.#issue(host)
    this.#leaves.set(host, { made: Date.now(), context })
    context.catch(() => this.#leaves.delete(host))
    return context
  }

  async #issue(host: string): Promise<SecureContext> {
    const { certificate: issuer, key } = this.#signer
    const leaf = certificate(LEAF_DAYS)
    leaf.issuer = issuer.subject
    // A common name has 64 characters at most; the alternative name is what counts.
    leaf.subject = named(host.slice(0, 64))
    await leaf.subjectPublicKeyInfo.importKey(this.#leafKeys.publicKey)
    const own = issuer.extensions?.find(({ extnID }) => extnID === OID.subjectKeyIdentifier)?.parsedValue
    leaf.extensions = [
      extension(OID.basicConstraints, new pki.BasicConstraints({ cA: false })),
      extension(OID.keyUsage, usage(USAGE.digitalSignature), true),
      extension(OID.extKeyUsage, new pki.ExtKeyUsage({ keyPurposes: [OID.serverAuth] })),
      extension(OID.subjectAltName, new pki.GeneralNames({ names: [alternative(host)] })),
      extension(OID.subjectKeyIdentifier, await identifierOf(this.#leafKeys.publicKey)),
      ...(own instanceof asn1.OctetString
        ? [extension(OID.authorityKeyIdentifier, new pki.AuthorityKeyIdentifier({ keyIdentifier: own }))]
        : []),
    ]
    await leaf.sign(key, 'SHA-256')
    return createSecureContext({
      cert: pem('CERTIFICATE', leaf.toSchema().toBER()) + this.certificate,
      key: this.#leafKeyPem,
      minVersion: 'TLSv1.2',
    })
  }
}
