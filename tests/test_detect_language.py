"""The language of a text is langdetect's, whatever the text and the seed; every probability too, to the last bit."""

from __future__ import annotations

import langdetect
import pytest
from langdetect import DetectorFactory, LangDetectException

from rtt_lib.verify.detect_language import LONG, Profiles, QuickDetector, detect

SENTENCES = {
    "ar": "القطة تشرب الحليب في المطبخ ثم تنام بجانب النافذة",
    "bn": "বিড়ালটি রান্নাঘরে দুধ খায় এবং জানালার পাশে ঘুমায়",
    "de": "Die Katze trinkt Milch in der Küche und schläft dann am Fenster.",
    "el": "Η γάτα πίνει γάλα στην κουζίνα και κοιμάται δίπλα στο παράθυρο.",
    "en": "The cat drinks its milk in the kitchen and then sleeps by the window.",
    "es": "El gato bebe la leche en la cocina y después duerme junto a la ventana.",
    "fa": "گربه در آشپزخانه شیر می‌نوشد و کنار پنجره می‌خوابد",
    "fr": "Le chat boit son lait dans la cuisine, puis il dort près de la fenêtre.",
    "hi": "बिल्ली रसोई में दूध पीती है और फिर खिड़की के पास सोती है।",
    "it": "Il gatto beve il latte in cucina e poi dorme vicino alla finestra.",
    "ja": "猫は台所で牛乳を飲み、それから窓のそばで眠ります。",
    "ko": "고양이는 부엌에서 우유를 마시고 창가에서 잠을 잡니다.",
    "pt": "O gato bebe o leite na cozinha e depois dorme perto da janela.",
    "ro": "Pisica bea lapte în bucătărie și apoi doarme lângă fereastră, însă nu știe.",
    "ru": "Кошка пьёт молоко на кухне, а потом спит у окна.",
    "th": "แมวดื่มนมในครัวแล้วนอนหลับข้างหน้าต่าง",
    "vi": "Con me\u0300o uo\u0302\u0301ng sư\u0303a trong bếp rồi ngủ bên cửa sổ.",
    "zh-cn": "猫在厨房里喝牛奶，然后在窗边睡觉。",
}
ODD = {
    "empty": "",
    "blank": " \n\t ",
    "digits": "12 34, 5.6",
    "one letter": "a",
    "two capitals": "AB",
    "capitals": "MY ANSWER IS NO.",  # one trial of seed 0 reaches langdetect's limit of draws
    "mixed case": "tHe CAT Drinks ITS miLK, ÀÉ and BBc",
    "mixed languages": "Hello mein Freund, c'est la vida",
    "addresses": "See https://example.org/die/katze?a=b or write to die.katze@example.org, please.",
    "spaces": "The   cat \u00a0 drinks\n\n\nits    milk ",
    "Latin in Cyrillic": "Кошка the cat пьёт молоко на кухне milk",
    "full width": "ＡＢ ＣＤ ｅｆ",
    "lone surrogate": "\ud800 text",
    "letters that grow in lower case": "İstanbul ĳ ǅ ß",
    "no space": "thecatdrinksitsmilk" * 5,
    "10,000 letters and more": "The cat drinks its milk. " * 390 + SENTENCES["fr"] * 20,
}


@pytest.fixture(scope="module")
def factory() -> DetectorFactory:
    made = DetectorFactory()
    made.load_profile(langdetect.PROFILES_DIRECTORY)
    return made


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return Profiles(langdetect.PROFILES_DIRECTORY)


class EveryTrial(QuickDetector):
    def _decided(self, left: int) -> bool:
        return False


def probabilities(detector, text: str) -> list[float] | str:
    detector.append(text)
    try:
        detector.get_probabilities()
    except LangDetectException as error:
        return str(error)
    return detector.langprob


def language(detector, text: str) -> str:
    detector.append(text)
    try:
        return detector.detect()
    except LangDetectException as error:
        return str(error)


def test_the_shares_are_langdetects(factory, profiles):
    assert profiles.langlist == factory.langlist
    assert profiles.known == set(factory.word_lang_prob_map)
    for gram in sorted(profiles.known)[::7]:
        assert profiles.word_lang_prob_map[gram] == factory.word_lang_prob_map[gram]


@pytest.mark.parametrize("text", [*SENTENCES.values(), *ODD.values()], ids=[*SENTENCES, *ODD])
def test_the_probabilities_are_langdetects(factory, profiles, text):
    for seed in (0, 1, 7):
        factory.seed = seed
        for form in (text, text.upper(), text[:9], f"{text}\n\n{text}"):
            said = probabilities(EveryTrial(profiles, seed), form)
            assert said == probabilities(factory.create(), form), (seed, form)


@pytest.mark.parametrize("text", [*SENTENCES.values(), *ODD.values()], ids=[*SENTENCES, *ODD])
def test_the_languages_are_langdetects(factory, profiles, text):
    """Short pieces and mixtures too, on which the seven trials disagree."""
    mixed = " ".join(f"{word} {other}" for word, other in zip(text.split(), SENTENCES["fr"].split(), strict=False))
    for seed in range(5):
        factory.seed = seed
        for form in (text, text.upper(), text[:9], text[9:15], mixed):
            assert language(QuickDetector(profiles, seed), form) == language(factory.create(), form), (seed, form)


def test_trials_that_cannot_change_the_answer_are_left_out(profiles):
    clear, unclear = QuickDetector(profiles, 0), QuickDetector(profiles, 0)
    language(clear, SENTENCES["de"])
    assert sum(clear.langprob) == pytest.approx(4 / 7)
    language(unclear, ODD["mixed languages"])
    assert sum(unclear.langprob) > 4 / 7 + 0.1


@pytest.mark.parametrize(
    "means, left, decided",
    [
        ([0.0, 4 / 7], 3, True),
        ([3 / 7, 0.0], 4, False),  # four that go to the other would win
        ([0.1, 0.4, 0.5 / 7], 2, True),
        ([0.2, 0.4, 0.8 / 7], 2, False),
        ([0.5, 0.5], 0, False),  # a draw is left to langdetect's own order
    ],
)
def test_when_an_answer_is_decided(profiles, means, left, decided):
    detector = QuickDetector(profiles, 0)
    detector.langprob = means
    assert detector._decided(left) == decided


@pytest.mark.parametrize("language, text", SENTENCES.items())
def test_the_language_by_name(language, text):
    assert detect(text, seed=0) == language


def test_no_letters_no_language():
    assert [detect(ODD[name], seed=0) for name in ("empty", "blank", "digits")] == [None] * 3


def test_no_ngram_ends_with_the_second_of_two_capitals(profiles):
    assert profiles.grams("No") == ("N", " N", "o", "No", " No")
    assert profiles.grams("NOt ") == ("N", " N", "t", "Ot", "t ")  # the profiles have an O, and no NOt
    assert "O" in profiles.known and "NOt" not in profiles.known


def test_only_short_words_are_remembered():
    profiles = Profiles(langdetect.PROFILES_DIRECTORY)
    probabilities(QuickDetector(profiles, 0), f"cat cat {'cat' * LONG} cat")
    assert profiles.grams_of_word.cache_info().currsize == 2  # with and without a space at its end
