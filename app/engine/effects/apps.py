from django.apps import AppConfig


class EffectsConfig(AppConfig):
    name = "app.engine.effects"
    label = "effects"
