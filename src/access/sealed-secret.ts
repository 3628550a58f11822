/**
 * @agent control
 *
 * How a user's secret stands in an answer: sealed, so that `copyUser` of mqadmin can carry it from one broker
 * to another, and nobody between can read it. Brokers with the same `innerClientAuthenticationCredentials`
 * can open what one of them has sealed; without these only the broker itself can, until it stops.
 *
 * `sealed:1:` and Base64url of nonce (12), tag (16) and AES-256-GCM of the secret; the user name is
 * authenticated with it, so that a sealed secret can not be given to another user.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const PREFIX = 'sealed:1:';
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

export class SecretSeal {
  readonly #key: Buffer;

  /** Null: with a key that nobody else has. */
  constructor(clusterSecret: string | null) {
    this.#key =
      clusterSecret === null
        ? randomBytes(KEY_BYTES)
        : Buffer.from(
            hkdfSync('sha256', clusterSecret, '', 'millrace sealed user secret', KEY_BYTES),
          );
  }

  seal(username: string, secret: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce).setAAD(Buffer.from(username));
    const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
    return PREFIX + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
  }

  /** The secret that a request names: as it is, or sealed. Null where the seal is not ours. */
  open(username: string, text: string): string | null {
    if (!text.startsWith(PREFIX)) return text;
    const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return null;
    try {
      const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, NONCE_BYTES))
        .setAAD(Buffer.from(username))
        .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      const opened = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES));
      return Buffer.concat([opened, decipher.final()]).toString('utf8');
    } catch {
      return null;
    }
  }
}
