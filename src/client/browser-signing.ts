/**
 * @agent any
 *
 * `millrace/browser/signing`: to be imported by a page whose clients have `credentials`. Apart from
 * `millrace/browser`, because most pages need none: pages of a broker with access control are the few.
 */
import { installSigner } from './platform.ts';
import { RequestSigner } from './request-signer.ts';
import { hmacSha1 } from './sha1.ts';

installSigner((credentials) => new RequestSigner(credentials, hmacSha1));
