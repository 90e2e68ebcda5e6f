/**
 * The one place where URLs are made fit to be shown. It keeps user, host, port and database, and never a password, also
 * when the text is no proper URL or holds several.
 */

/** The text with every password of a URL in it replaced by `***`. */
export function redactUrl(text: string): string {
  return (
    text
      // The last @ before the next space or quote ends the credentials: passwords may hold / ? # and @ unescaped.
      .replaceAll(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/"'`]*):[^\s"'`]*@/gi, '$1:***@')
      .replaceAll(/((?:password|passwd|pwd|sslpassword)\s*=\s*)('[^']*'|"[^"]*"|[^\s&"'`]*)/gi, '$1***')
  );
}
