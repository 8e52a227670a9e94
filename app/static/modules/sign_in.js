// Keep the view of a permalink, which the fragment holds, while signing in.
const form = document.querySelector("form");
if (form !== null && location.hash.startsWith("#/")) {
  form.action = `/sign-in${location.hash}`;
}
