/** Addresses: campaign tags and click ids in them, and parameters that must not leave the page. Pure. */

/** Click ids of ad platforms, as the stream knows them (a test compares the two). */
export const CLICK_IDS = (
  'gclid gbraid wbraid dclid msclkid bd_vid qhclickid yclid qz_gdt gdt_vid ksclickid uctrackid ttclid twclid ' +
  'li_fat_id rdt_cid sccid epik gad_source clickid callback track_id click_id fbclid igshid igsh srsltid'
).split(' ');

/** Parameters that carry secrets or say who somebody is; without `_` and `-` (a test compares with the gateway's). */
export const DENIED = (
  'token accesstoken refreshtoken idtoken authtoken oauthtoken apitoken csrftoken resettoken sessiontoken jwt otp ' +
  'apikey accesskey secret secretkey clientsecret password passwd passcode pwd auth authorization credential ' +
  'credentials sig signature xamzsignature xamzcredential xamzsecuritytoken xgoogsignature session sessionid ' +
  'phpsessid jsessionid email mail emailaddress useremail phone phonenumber tel telephone mobile mobilephone ssn ' +
  'idcard cardnumber creditcard'
).split(' ');

const PARAMETER = /([?&#;])([^?&#;=/]+)=([^?&#;]*)/g;
const INNER = /(%(?:25)*(?:3f|26|23))([\w.-]+)%(?:25)*3d((?!%(?:25)*(?:26|23))[^&#])*/gi;

export const LINK_PARAMETER = 'attrikit_link';
export type Tags = { [name: string]: string };

export function isTag(name: string): boolean {
  const word = name.toLowerCase();
  return word.startsWith('utm_') || CLICK_IDS.includes(word);
}

/** Campaign tags and click ids of an address; of one that stands twice the first value. */
export function tagsOf(url: string): Tags {
  const tags: Tags = {};
  url.replace(PARAMETER, (whole, _separator, name: string, value: string) => {
    const key = name.toLowerCase();
    if (value && isTag(key) && !(key in tags)) tags[key] = decoded(value);
    return whole;
  });
  return tags;
}

/** Value of a parameter of an address, else nothing. */
export function parameterOf(url: string, wanted: string): string {
  let found = '';
  url.replace(PARAMETER, (whole, _separator, name: string, value: string) => {
    if (name === wanted && !found) found = decoded(value);
    return whole;
  });
  return found;
}

export function withoutTags(url: string): string {
  return without(url, isTag);
}

/** Make the function that takes denied parameters out of a text, wherever in it an address stands. */
export function cleaner(more: string[]): (text: string) => string {
  const denied = new Set(DENIED.concat(more.map(plainName)).concat(plainName(LINK_PARAMETER)));
  const isDenied = (name: string): boolean => denied.has(plainName(name)) && !isTag(name);
  return (text) => {
    if (!/=|%3d/i.test(text)) return text;
    return without(text, isDenied).replace(INNER, (whole, separator: string, name: string) =>
      isDenied(name) ? separator : whole,
    );
  };
}

/** `user[email]`, `E-Mail` and `%65mail` are `email`. */
function plainName(name: string): string {
  const inner = /([^[\]]+)\]?$/.exec(decoded(name));
  return (inner ? inner[1]! : name).toLowerCase().replace(/[_-]/g, '');
}

function without(url: string, isDropped: (name: string) => boolean): string {
  let hasDropped = false;
  const left = url.replace(PARAMETER, (whole, separator: string, name: string) => {
    if (!isDropped(name)) return whole;
    hasDropped = true;
    return separator;
  });
  if (!hasDropped) return url;
  return left.replace(/([?#&;])[&;]+/g, '$1').replace(/[?&;]+(?=#|$)/g, '').replace(/#$/, '');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replace(/\+/g, ' '));
  } catch {
    return text;
  }
}

/** Host of an address, without its port; empty where there is none. */
export function hostOf(url: string): string {
  const found = /^\w[\w+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:]*)/.exec(url);
  return found ? found[1]!.toLowerCase() : '';
}
