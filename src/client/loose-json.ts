/**
 * @agent any
 *
 * JSON as fastjson writes it, for clients: keys may be bare numbers (`{0:"address"}`) or flat objects
 * (`{{"queueId":0}:12}`). The latter come back as properties named by the object's own text. The
 * broker's parser (protocol/fastjson.ts) bounds what strangers may send; this one is a tenth of it.
 */

/** A string; a flat object, or a number, that stands as a key. */
const TOKEN = /"(?:[^"\\]|\\.)*"|\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}(?=\s*:)|-?\d+(?=\s*:)/g;

/** @throws SyntaxError */
export function parseLooseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const standard = text.replaceAll(TOKEN, (token) =>
      token.startsWith('"') ? token : JSON.stringify(token),
    );
    return JSON.parse(standard);
  }
}
